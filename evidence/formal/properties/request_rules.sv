// The bursts of a request: from its address on, one behind the other, as many beats as it has; it is taken with its
// last one. `asked` beats begin in this cycle, at `address`.
module request_rules #(parameter SIZE = 3) (
    input clk, input clear, input request_valid, input request_ready, input [31:0] request_address,
    input [16:0] beats, input [4:0] asked, input [31:0] address,
    output reg [16:0] done);
  stream_rules #(49, 1) rules (clk, clear, request_valid, request_ready, {request_address, beats});
  initial done = 0;
  wire [16:0] with_this = done + asked;
  always @(posedge clk)
    if (clear || request_ready) done <= 0;
    else done <= with_this;
  always @* begin
    assume (!request_valid || beats != 0 && beats <= 17'h10000 && request_address % (1 << SIZE) == 0);
    if (asked != 0) begin
      assert (request_valid && address == request_address + (done << SIZE));
      assert (with_this <= beats);
    end
    assert (request_ready == (asked != 0 && with_this == beats));
  end
endmodule
