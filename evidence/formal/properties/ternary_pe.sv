// Ternary PE: psum_out = psum_in + digit * the weight last written at the read address, two's complement.
module ternary_pe (
    input clk, input write_enable, input write_address, input [7:0] write_data, input read_address,
    input signed [1:0] digit, input signed [10:0] psum_in);
  wire [10:0] psum_out;
  codeword_ternary_pe dut (
      .clk(clk), .rst(1'b0), .write_enable(write_enable), .write_address(write_address), .write_data(write_data),
      .read_address(read_address), .digit(digit), .psum_in(psum_in), .psum_out(psum_out));
  reg known = 0;
  reg signed [7:0] weight = 0; // as the memory powers up
  always @* assume (digit != -2);
  always @(posedge clk)
    if (write_enable && write_address) begin
      known <= 1;
      weight <= write_data;
    end
`ifdef FALSE_TERNARY_PE
  wire signed [8:0] term = digit == 1 ? weight : digit == -1 ? ~weight : 0;
`else
  wire signed [8:0] term = digit * weight;
`endif
  wire signed [10:0] expected = psum_in + term;
  always @* if (known && read_address) assert (psum_out == expected);
endmodule
