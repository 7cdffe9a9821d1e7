// Weight port: jobs leave in order, beats leave in order as memory gave them, both stay until taken; never more is
// asked for than the buffer holds. A packet that waits takes one pulse. One job and one beat, any, are followed.
module weight_port (
    input clk, input in_valid, input [`JOB_BITS-1:0] in_job, input out_ready, input weights_there, input weight_ready,
    input arready, input [63:0] rdata, input [1:0] rresp, input rlast, input rvalid, input stop, input clear,
    input pick_job, input pick_beat);
  wire in_ready, out_valid, weight_valid, arvalid, arid, rready, idle, error;
  wire [`JOB_BITS-1:0] out_job;
  wire [63:0] weight_data;
  wire [`ADDRESS_BITS-1:0] araddr, error_address;
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
  stream_rules #(1) ar (clk, 1'b0, arvalid, arready, 1'b1);
  stream_rules #(`JOB_BITS) jobs (clk, clear, out_valid, out_ready, out_job);
  // One bit of the beats stands for all; each has its own flip-flops.
  stream_rules #(1) beats (clk, clear, weight_valid, weight_ready, weight_data[`BIT]);
  wire [3:0] jobs_held, beats_held;
  reg dropping = 0;
  reg [5:0] owing = 0;
  wire arrives = rvalid && rready && !dropping && !clear;
  queue_rules #(2) job_order (clk, clear, pick_job, in_valid && in_ready, {in_job[`JOB_BITS-1], in_job[0]},
                              out_valid && out_ready, {out_job[`JOB_BITS-1], out_job[0]}, jobs_held);
  queue_rules #(1) beat_order (clk, clear, pick_beat, arrives, rdata[`BIT], weight_valid && weight_ready,
                               weight_data[`BIT], beats_held);
  // Beats of taken bursts that have not come.
  reg [7:0] left = 0;
  always @(posedge clk) begin
    if (arvalid && arready) left <= left + arlen + 1 - (rvalid && rready);
    else left <= left - (rvalid && rready);
    dropping <= (clear || dropping) && !(idle && !clear);
  end
  always @* begin
    assume (!rvalid || left != 0);
    assert (beats_held <= `BUFFER_BEATS);
    assert (jobs_held <= `WAITING_JOBS);
  end
endmodule
