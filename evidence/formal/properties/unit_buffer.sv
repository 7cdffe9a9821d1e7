// Unit buffer: of the unit that runs it shows packet and parameters, of the one that leaves the packet, each word as
// it came; none is lost or doubled. One bit, WHICH, of a word of any unit is followed: of word PLACE of its packet, or
// (OF_PACKET = 0) of its parameters for output PLACE of any group.
module unit_buffer (
    input clk, input word_valid, input [`WORD_BITS-1:0] word, input unit_done, input [`GROUP_BITS-1:0] group,
    input left, input pick);
  wire word_ready, unit_valid, unit_loaded, empty;
  wire [`UNIT_BITS-1:0] unit, leaving;
  wire [`COLUMNS*`PARAMETER_BITS-1:0] parameters;
  codeword_unit_buffer dut (
      .clk(clk), .rst(1'b0), .word_valid(word_valid), .word_ready(word_ready), .word(word), .unit(unit),
      .unit_valid(unit_valid), .unit_done(unit_done), .unit_loaded(unit_loaded), .group(group),
      .parameters(parameters), .leaving(leaving), .left(left), .empty(empty));
  // Units that are complete, have run and have left, modulo 8; what the next word is.
  reg [2:0] complete = 0, run = 0, gone = 0;
  reg in_packet = 1, rows;
  reg [3:0] index = 0;
  reg [`GROUP_BITS-1:0] at_group = 0, last_group;
  reg [$clog2(`COLUMNS)-1:0] at_column = 0;
  wire enters = word_valid && word_ready;
  wire has_rows = index == 0 ? word[1:0] == 0 : rows;
  wire packet_ends = in_packet && index == `UNIT_WORDS - 1;
  wire column_ends = at_column == `COLUMNS - 1;
  wire completes = enters && (in_packet ? packet_ends && !has_rows : column_ends && at_group == last_group);
  (* anyconst *) reg [`GROUP_BITS-1:0] place_group;
  wire here = `OF_PACKET ? in_packet && index == `PLACE
                         : !in_packet && at_group == place_group && at_column == `PLACE;
  reg loaded = 0, followed = 0, kept;
  reg [2:0] number;
  reg [`GROUP_BITS-1:0] shown_group;
  always @(posedge clk) begin
    complete <= complete + completes;
    run <= run + unit_done;
    gone <= gone + left;
    loaded <= completes && (!in_packet || has_rows);
    shown_group <= group;
    if (enters && in_packet) begin
      if (index == 0) {rows, last_group} <= {has_rows, word[`A +: `GROUP_BITS] - `GROUP_BITS'd1};
      index <= packet_ends ? 0 : index + 1;
      if (packet_ends && has_rows) in_packet <= 0;
    end
    if (enters && !in_packet) begin
      at_column <= column_ends ? 0 : at_column + 1;
      if (column_ends) at_group <= at_group + 1;
    end
    if (completes) {in_packet, at_group} <= 1 << `GROUP_BITS;
    if (`OF_PACKET ? left && gone == number : unit_done && run == number) followed <= 0;
    if (enters && here && pick && !followed) {followed, number, kept} <= {1'b1, complete, word[`WHICH]};
  end
`ifdef FALSE_UNIT_BUFFER
  wire runs = 1;
`else
  wire runs = number == run;
`endif
  wire [2:0] held = complete - gone, done = run - gone;
  wire in_order = done <= held;
  // A last parameter is there two cycles after it came, and so is the last word of a packet that leaves at once.
  reg settled = 0;
  always @(posedge clk) settled <= followed;
  always @* begin
    if (in_packet && index == 0 && word[1:0] == 0)
      assume (word[`A +: `EXTENT_BITS] != 0 && word[`A +: `EXTENT_BITS] <= 1 << `GROUP_BITS);
    assume (!unit_done || unit_valid);
    assume (!left || gone != run);
    assert (unit_valid == (complete != run));
    assert (unit_loaded == loaded);
    assert (empty == (complete == gone && in_packet && index == 0));
    assert (in_order && held <= 4);
    if (followed && unit_valid && runs) begin
      if (`OF_PACKET) assert (unit[`PLACE * `WORD_BITS + `WHICH] == kept);
      else if (settled && place_group == shown_group) assert (parameters[`PLACE * `PARAMETER_BITS + `WHICH] == kept);
    end
    if (followed && settled && `OF_PACKET && held != 0 && gone == number) assert (leaving[`PLACE * `WORD_BITS + `WHICH] == kept);
  end
endmodule
