// An AXI4 address channel of a master: the burst stays until it is taken; INCR, at most BEATS whole beats, within a
// page, aligned.
module burst_rules #(parameter SIZE = 3, BITS = 32, BEATS = 16, PAGE_BITS = 12) (
    input clk, input valid, input ready, input [BITS-1:0] address, input [7:0] length, input [2:0] size,
    input [1:0] burst, input id);
  stream_rules #(BITS + 14) rules (clk, 1'b0, valid, ready, {address, length, size, burst, id});
`ifdef FALSE_BURST_RULES
  localparam LAST = BEATS - 2;
`else
  localparam LAST = BEATS - 1;
`endif
  wire [PAGE_BITS:0] last_byte = address[PAGE_BITS-1:0] + ((length + 1) << SIZE) - 1;
  always @* if (valid) begin
    assert (length <= LAST);
    assert (size == SIZE && burst == 1 && id == 0);
    assert (!last_byte[PAGE_BITS]);
    assert (address % (1 << SIZE) == 0);
  end
endmodule
