// Finished rows offered to the row mover: as many as were handed over, each stays as it is until it is taken, and
// the packet goes on when the last one of a unit lies in a register: two at most lie there, one is offered.
module row_entries (
    input clk, input [`UNIT_BITS-1:0] unit, input [`EXTENT_BITS-1:0] handed, input out_ready);
  wire left, out_valid, out_map, out_ends_unit, out_ends;
  wire [16-1:0] out_word;
  wire [2:0] out_offset;
  wire [8:0] out_bytes;
  wire [32-1:0] out_address;
  wire [16:0] out_ring;
  codeword_row_entries dut (
      .clk(clk), .rst(1'b0), .unit(unit), .left(left), .handed(handed), .out_valid(out_valid), .out_ready(out_ready),
      .out_map(out_map), .out_word(out_word), .out_offset(out_offset), .out_bytes(out_bytes),
      .out_address(out_address), .out_ring(out_ring), .out_ends_unit(out_ends_unit), .out_ends(out_ends),
      .waiting(level), .behind(behind), .some(some), .second(second));
  stream_rules #(80) rules (
      clk, 1'b0, out_valid, out_ready,
      {out_map, out_word, out_offset, out_bytes, out_address, out_ring, out_ends_unit, out_ends});
  wire [`COUNT_BITS-1:0] level;
  wire behind, some;
  wire [79:0] second;
  reg [`COUNT_BITS-1:0] waiting = 0;
  reg [1:0] gone = 0;
  reg [`UNIT_BITS-1:0] packet;
  reg holds = 0;
  wire taken = out_valid && out_ready;
  always @(posedge clk) begin
    waiting <= waiting + handed - taken;
    packet <= unit;
    holds <= level != 0 && !left;
    gone <= gone + left - (taken && out_ends_unit);
  end
  always @* begin
    // The oldest packet changes only when its unit has left.
    assume (!holds || unit == packet);
    assume (waiting < 1 << (`COUNT_BITS - 1));
    assert (level + out_valid + behind == waiting);
    assert (out_valid || !behind);
`ifdef FALSE_ROW_ENTRIES
    assert (out_valid == (waiting != 0 || handed != 0));
`else
    assert (out_valid == (waiting != 0));
`endif
    assert (some == (level != 0));
    // Of a second entry the last two bits say whether it ends a unit, a layer.
    assert (gone == (out_valid && out_ends_unit) + (behind && second[78]));
    if (behind && second[79]) assert (second[78]);
    if (out_ends) assert (out_ends_unit);
  end
endmodule
