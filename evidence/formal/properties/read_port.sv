// AXI4 read master: rules of AR, as many responses as bursts, beats handed on as they are, none behind `clear`.
module read_port (
    input clk, input request_valid, input [31:0] address, input [16:0] beats, input [5:0] room,
    input data_ready, input arready, input [63:0] rdata, input [1:0] rresp, input rlast, input rvalid, input stop,
    input clear, input refuse);
  wire request_ready, data_valid, arvalid, arid, rready, idle, error;
  wire [4:0] asked;
  wire [63:0] data;
  wire [31:0] araddr, error_address;
  wire [7:0] arlen;
  wire [2:0] arsize;
  wire [1:0] arburst;
  wire in_request, waiting, drops;
  wire [31:0] rest_address;
  wire [16:0] rest_beats;
  wire [5:0] level;
  codeword_read_port_64 dut (
      .clk(clk), .rst(1'b0), .request_valid(request_valid), .request_ready(request_ready), .address(address),
      .beats(beats), .room(room), .asked(asked), .data_valid(data_valid), .data_ready(data_ready), .data(data),
      .araddr(araddr), .arlen(arlen), .arsize(arsize), .arburst(arburst), .arid(arid), .arvalid(arvalid),
      .arready(arready), .rdata(rdata), .rresp(rresp), .rlast(rlast), .rid(1'b0), .rvalid(rvalid),
      .rready(rready), .stop(stop), .clear(clear), .refuse(refuse), .idle(idle), .error(error), .error_address(error_address),
      .\channel.begun (in_request), .\channel.rest_address (rest_address), .\channel.rest_beats (rest_beats),
      .\channel.underway_level (level), .\channel.waiting (waiting), .\channel.dropping (drops));
  burst_rules bursts (clk, arvalid, arready, araddr, arlen, arsize, arburst, arid);
  stream_rules #(49, 1) requests (clk, clear, request_valid, request_ready, {address, beats});
  stream_rules #(67, 1) r_rules (clk, 1'b0, rvalid, rready, {rdata, rresp, rlast});

  // Bursts that memory has taken, and those that were begun, without their last beat.
  reg [6:0] taken = 0, begun = 0;
  wire finishes = rvalid && rready && rlast;
  reg dropping = 0, waits = 0;
  always @(posedge clk) begin
    taken <= taken + (arvalid && arready) - finishes;
    begun <= begun + (asked != 0) - finishes;
    waits <= arvalid && !arready;
    dropping <= clear || dropping && begun != 0;
  end
  always @* begin
    assume (!request_valid || beats != 0 && address[2:0] == 0);
    // The first beat of a burst comes after its address.
    assume (!rvalid || taken != 0);
    assert (idle == (begun == 0));
    // With what the registers inside hold, the rest follows in one step.
    assert (level == begun && waiting == waits && drops == dropping && taken + waits == begun);
    if (in_request) assert (request_valid && rest_address[2:0] == 0 && rest_beats != 0);
    assert (begun <= 32);
    assert (asked <= room);
    if (stop) assert (asked == 0);
    if (clear || dropping) assert (asked == 0 && !data_valid && !error && rready);
    else begin
      assert (data_valid == rvalid && rready == data_ready && data == rdata);
      assert (error == (rvalid && rready && rresp != 0));
    end
    if (asked != 0) assert (arvalid && arlen == asked - 1);
  end
endmodule
