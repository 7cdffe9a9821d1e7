// Deep queue: order, level, rules of its output. Its words wait a cycle in the SRAM.
module sram_fifo (input clk, input clear, input write, input [2:0] write_data, input out_ready, input pick);
  wire out_valid;
  wire [2:0] out_data;
  wire [2:0] level;
  wire [3:0] held;
  codeword_sram_fifo_4x3 dut (
      .clk(clk), .rst(1'b0), .clear(clear), .write(write), .write_data(write_data), .out_valid(out_valid),
      .out_ready(out_ready), .out_data(out_data), .level(level));
  stream_rules #(3) out_rules (clk, clear, out_valid, out_ready, out_data);
  queue_rules #(3) rules (clk, clear, pick, write, write_data, out_valid && out_ready, out_data, held);
  reg [3:0] before = 0;
  always @(posedge clk) before <= clear ? 0 : held - (out_valid && out_ready);
  always @* begin
    assume (!write || level < 4);
    assert (level == held);
    // A word that entered a cycle ago is still on its way to the output.
    assert (out_valid == (before != 0));
  end
endmodule
