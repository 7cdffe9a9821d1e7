// No word is lost, doubled or overtaken between two sides: one word, any, is followed; `ahead` words leave before
// it. `held` words are inside.
module queue_rules #(parameter WIDTH = 1, parameter BITS = 4) (
    input clk, input clear, input pick, input enters, input [WIDTH-1:0] in_data, input leaves,
    input [WIDTH-1:0] out_data, output reg [BITS-1:0] held, output reg followed, output reg [BITS-1:0] ahead,
    output reg [WIDTH-1:0] word);
  initial {held, followed} = 0;
  always @(posedge clk) begin
    held <= held + enters - leaves;
    if (followed && leaves) begin
      ahead <= ahead - 1;
      if (ahead == 0) followed <= 0;
    end
    if (enters && pick && !followed) begin
      followed <= 1;
      ahead <= held - leaves;
      word <= in_data;
    end
    if (clear) begin
      held <= 0;
      followed <= 0;
    end
  end
`ifdef FALSE_QUEUE_RULES
  wire next = 1;
`else
  wire next = ahead == 0;
`endif
  always @* begin
    if (leaves) assert (held != 0);
    if (followed && leaves && next) assert (out_data == word);
  end
endmodule
