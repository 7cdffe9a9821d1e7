// Small queue: order, level, rules of both streams.
module fifo (input clk, input clear, input in_valid, input [2:0] in_data, input out_ready, input pick);
  wire in_ready, out_valid;
  wire [2:0] out_data;
  wire [2:0] level;
  wire [3:0] held;
`ifdef AHEAD
  codeword_fifo_4x3_ahead dut (
`else
  codeword_fifo_4x3 dut (
`endif
     
      .clk(clk), .rst(1'b0), .clear(clear), .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
      .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data), .level(level));
  stream_rules #(3) out_rules (clk, clear, out_valid, out_ready, out_data);
  queue_rules #(3) rules (clk, clear, pick, in_valid && in_ready, in_data, out_valid && out_ready, out_data, held);
  always @* begin
    assert (level == held);
    assert (out_valid == (held != 0) && in_ready == (held != 4));
  end
endmodule
