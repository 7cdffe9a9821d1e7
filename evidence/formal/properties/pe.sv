// PE: psum_out = psum_in + activation * the weight last written at the read address, two's complement.
module pe (
    input clk, input write_enable, input write_address, input [7:0] write_data, input read_address,
    input signed [7:0] activation, input signed [17:0] psum_in);
  wire [17:0] psum_out;
  codeword_pe dut (
      .clk(clk), .rst(1'b0), .write_enable(write_enable), .write_address(write_address), .write_data(write_data),
      .read_address(read_address), .activation(activation), .psum_in(psum_in), .psum_out(psum_out));
  reg known = 0;
  reg signed [7:0] weight = 0; // as the memory powers up
  always @(posedge clk)
    if (write_enable && write_address) begin
      known <= 1;
      weight <= write_data;
    end
`ifdef FALSE_PE
  wire signed [8:0] operand = {1'b0, weight};
`else
  wire signed [7:0] operand = weight;
`endif
  wire signed [15:0] product = activation * operand;
  wire signed [17:0] expected = psum_in + product;
  always @* if (known && read_address) assert (psum_out == expected);
endmodule
