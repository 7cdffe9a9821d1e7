// Requantizer behind its multiplier: with any product, y is the product shifted by SHIFT and rounded half up, plus
// zero, clamped. Every step is written out: the half is added at full width, and nothing is cut before the clamp.
module requantizer (
    input clk, input [31:0] acc, input [31:0] bias, input [15:0] multiplier, input [5:0] shift, input signed [7:0] zero,
    input signed [7:0] low, input signed [7:0] high);
  wire [31:0] total;
  wire [7:0] y;
  wire signed [47:0] product;
  codeword_requantizer dut (
      .clk(clk), .rst(1'b0), .acc(acc), .bias(bias), .multiplier(multiplier), .shift(shift), .zero(zero),
      .low(low), .high(high), .total(total), .y(y), .product(product));
  reg [5:0] shift_1, shift_2, shift_3;
  reg [2:0] age = 0;
  reg [31:0] sum;
  reg signed [63:0] moved;
  reg signed [7:0] expected;
  reg known = 0, ready = 0;
  // All of it signed: a concatenation would not be.
  wire signed [63:0] half = 64'sd1 <<< (`SHIFT - 1);
`ifdef FALSE_REQUANTIZER
  wire signed [63:0] rounded = (product + half - 64'sd1) >>> `SHIFT;
`else
  wire signed [63:0] rounded = (product + half) >>> `SHIFT;
`endif
  wire signed [63:0] result = moved + zero;
  always @(posedge clk) begin
    shift_1 <= shift;
    shift_2 <= shift_1;
    sum <= acc + bias;
    shift_3 <= shift_2;
    age <= age == 3 ? 3 : age + 1;
    known <= age == 3 && shift_3 == `SHIFT;
    moved <= rounded;
    ready <= known && low <= high;
    expected <= result < low ? low : result > high ? high : result[7:0];
  end
  always @* begin
    if (age != 0) assert (total == sum);
    if (ready) assert (y == expected);
  end
endmodule
