// Neuron: its charge and digit are those of the integer definition, for any parameters and any operations, as long as
// the charge fits its bits. The shadow is wider, compares twice the charge with v itself, and knows no sign bit.
module neuron (
    input clk, input enable, input start, input biased, input signed_, input double, input fire, input signed [5:0] operand,
    input load, input [7:0] parameters);
  wire [1:0] digit;
  wire signed [5:0] charge;
  codeword_neuron dut (
      .clk(clk), .rst(1'b0), .enable(enable), .start(start), .biased(biased), .\signed (signed_), .double(double), .fire(fire),
      .operand(operand), .load(load), .parameters(parameters), .digit(digit), .charge(charge));
  reg loaded = 0, known = 0, spoke = 0;
  reg signed [3:0] bias = 0, full = 1;
  reg signed [9:0] v = 0;
  wire signed [9:0] base = start ? (biased ? bias : 0) : double ? 2 * v : v;
`ifdef FALSE_NEURON
  wire up = 2 * base > full;
`else
  wire up = 2 * base >= full;
`endif
  wire down = spoke && 2 * base <= -full;
  wire signed [9:0] said = up ? full : down ? -full : 0;
  wire signed [9:0] after = fire ? base - said : base + operand;
  wire fits = base >= -32 && base < 32 && after >= -32 && after < 32;
  wire signed [3:0] threshold = parameters[7:4];
  always @* begin
    assume (!(load && enable) && !(fire && start));
    assume (!load || threshold > 0);
  end
  always @(posedge clk) begin
    if (load) begin
      loaded <= 1;
      known <= 0;
      bias <= parameters[3:0];
      full <= threshold;
    end
    if (enable) begin
      known <= loaded && fits && (start || known);
      v <= after;
      spoke <= start ? signed_ : spoke || (fire && up);
    end
  end
  wire [1:0] expected = up ? 2'b01 : down ? 2'b11 : 2'b00;
  always @* begin
    if (known) assert (charge == v[5:0]);
    if (known && enable && fire && fits) assert (digit == expected);
    if (!fire) assert (digit == 0);
  end
endmodule
