// A byte is the number that its five digits make, each -1, 0 or 1, and every number below 243 is one of five digits.
module ternary_digits (input [7:0] number);
  wire [9:0] weights;
  codeword_ternary_digits dut (.number(number), .weights(weights));
  integer n, sum, power;
  reg legal;
  always @* begin
    sum = 0;
    power = 1;
    legal = 1;
    for (n = 0; n < 5; n = n + 1) begin
      legal = legal && weights[2*n +: 2] != 2'b10;
      sum = sum + power * (1 + (weights[2*n +: 2] == 2'b11 ? -1 : weights[2*n +: 2]));
      power = power * 3;
    end
`ifdef FALSE_TERNARY_DIGITS
    if (number < 243) assert (legal && sum == number && number != 121);
`else
    if (number < 243) assert (legal && sum == number);
`endif
  end
endmodule
