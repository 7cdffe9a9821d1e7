// PE: psum_out = psum_in + activation * weight, two's complement; the weight last written at the word that is read is taken
// with its activation, multiplied in the next cycle, and added from the one after that on.
module pe (
    input clk, input write_enable, input write_address, input [7:0] write_data, input read_address, input valid,
    input signed [7:0] activation, input signed [17:0] psum_in);
  wire [17:0] psum_out;
  reg multiplies = 0;
  wire signed [7:0] taken; // the weight behind the WRF
  wire signed [15:0] given; // the product behind the multiplier
  reg signed [7:0] held = 0; // as the tile holds it
  codeword_pe dut (
      .clk(clk), .rst(1'b0), .write_enable(write_enable), .write_address(write_address), .write_data(write_data),
      .read_address(read_address), .valid(valid), .activation(activation), .multiplies(multiplies), .held(held),
      .psum_in(psum_in), .psum_out(psum_out), .weight(taken), .product(given));
  reg signed [7:0] first = 0, second = 0; // words 0 and 1, as the memory powers up
  reg signed [7:0] operand = 0;
  reg signed [15:0] product = 0;
  always @(posedge clk) begin
    multiplies <= valid;
    if (write_enable && !write_address) first <= write_data;
    if (write_enable && write_address) second <= write_data;
    if (valid) begin
      held <= activation;
      operand <= read_address ? second : first;
    end
    if (multiplies)
`ifdef FALSE_PE
      product <= held * $signed({1'b0, taken});
`else
      product <= held * taken;
`endif
  end
  wire signed [17:0] expected = psum_in + product;
  always @* begin
    assert (taken == operand);
    assert (given == product);
    assert (psum_out == expected);
  end
endmodule
