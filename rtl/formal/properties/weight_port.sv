// Weight port: rules of AR; jobs leave in order, beats as memory gave them, none lost or doubled, stable until taken.
// One job and one beat, any, are followed.
module weight_port (
    input clk, input in_valid, input [`JOB_BITS-1:0] in_job, input out_ready, input weights_there, input weight_ready,
    input arready, input [63:0] rdata, input [1:0] rresp, input rlast, input rvalid, input stop, input clear,
    input pick_job, input pick_beat);
  wire in_ready, out_valid, weight_valid, arvalid, arid, rready, idle, error, discards;
  wire [`JOB_BITS-1:0] out_job;
  wire [63:0] weight_data;
  wire [31:0] araddr, error_address, address;
  wire [7:0] arlen;
  wire [2:0] arsize;
  wire [1:0] arburst;
  codeword_weight_port dut (
      .clk(clk), .rst(1'b0), .in_valid(in_valid), .in_ready(in_ready), .in_job(in_job), .out_valid(out_valid),
      .out_ready(out_ready), .out_job(out_job), .weights_there(weights_there), .weight_valid(weight_valid),
      .weight_ready(weight_ready), .weight_data(weight_data), .araddr(araddr), .arlen(arlen), .arsize(arsize),
      .arburst(arburst), .arid(arid), .arvalid(arvalid), .arready(arready), .rdata(rdata), .rresp(rresp),
      .rlast(rlast), .rid(1'b0), .rvalid(rvalid), .rready(rready), .stop(stop), .clear(clear), .idle(idle),
      .error(error), .error_address(error_address));
  burst_rules bursts (clk, arvalid, arready, araddr, arlen, arsize, arburst, arid);
  read_memory #(3, 32, `OUTSTANDING) memory (
      clk, clear, arvalid, arready, araddr, arlen, rvalid, rready, rlast, address, discards);
  stream_rules #(`JOB_BITS) job_rules (clk, clear, out_valid, out_ready, out_job);
  stream_rules #(64) beat_rules (clk, clear, weight_valid, weight_ready, weight_data);
  wire [6:0] jobs, beats;
  wire job_leaves = out_valid && out_ready;
  queue_rules #(`JOB_BITS, 7) job_order (
      clk, clear, pick_job, in_valid && in_ready, in_job, job_leaves, out_job, jobs);
  queue_rules #(64, 7) beat_order (
      clk, clear, pick_beat, rvalid && rready && !discards, rdata, weight_valid && weight_ready, weight_data, beats);
  // Jobs that wait leave after as many pulses.
  reg [7:0] pulses = 0;
  always @(posedge clk) pulses <= clear ? 0 : pulses + weights_there - (job_leaves && out_job[`WAIT]);
  always @* begin
    assume (pulses < 200);
    assume (in_job[`ADDRESS +: 3] == 0 && in_job[`BEATS +: `BEAT_COUNT_BITS] != 0);
    assert (jobs <= `WAITING_JOBS && beats <= `BUFFER_BEATS);
    // What memory gives is always taken.
    assert (rready);
    if (job_leaves && out_job[`WAIT]) assert (pulses != 0);
  end
endmodule
