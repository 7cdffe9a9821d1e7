// Rules of a stream: `valid` stays until `ready`, and `data` with it, unless `clear`. ASSUME = 1 binds the
// surroundings instead.
module stream_rules #(parameter WIDTH = 1, parameter ASSUME = 0) (
    input clk, input clear, input valid, input ready, input [WIDTH-1:0] data);
  reg waits = 0;
  reg [WIDTH-1:0] offered;
  always @(posedge clk) begin
    waits <= valid && !ready && !clear;
    offered <= data;
  end
  wire kept = !waits || (valid && data == offered);
  generate
    if (ASSUME) always @* assume (kept);
    else always @* assert (kept);
  endgenerate
endmodule
