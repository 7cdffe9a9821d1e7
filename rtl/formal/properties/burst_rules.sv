// An AXI4 address channel of a master: the burst stays until it is taken; INCR, at most 16 whole beats, within
// 4 KiB, aligned.
module burst_rules #(parameter SIZE = 3) (
    input clk, input valid, input ready, input [31:0] address, input [7:0] length, input [2:0] size,
    input [1:0] burst, input id);
  stream_rules #(46) rules (clk, 1'b0, valid, ready, {address, length, size, burst, id});
`ifdef FALSE_TWIN
  localparam LAST = 14;
`else
  localparam LAST = 15;
`endif
  wire [12:0] last_byte = address[11:0] + ((length + 1) << SIZE) - 1;
  always @* if (valid) begin
    assert (length <= LAST);
    assert (size == SIZE && burst == 1 && id == 0);
    assert (!last_byte[12]);
    assert (address % (1 << SIZE) == 0);
  end
endmodule
