// Unit buffer: of the unit that runs it shows packet and parameters, of the one that leaves the packet, each word as
// it came; none is lost or doubled. One bit, any, of a word of unit `number` is followed: of word `place` of its packet,
// or of its parameters for output `place_column` of group `place_group`.
module unit_buffer (
    input clk, input word_valid, input [`WORD_BITS-1:0] word, input unit_done, input [`GROUP_BITS-1:0] group,
    input left, input pick);
  wire word_ready, unit_valid, unit_loaded;
  wire [`UNIT_BITS-1:0] unit, leaving;
  wire [`COLUMNS*`PARAMETER_BITS-1:0] parameters;
  codeword_unit_buffer dut (
      .clk(clk), .rst(1'b0), .word_valid(word_valid), .word_ready(word_ready), .word(word), .unit(unit),
      .unit_valid(unit_valid), .unit_done(unit_done), .unit_loaded(unit_loaded), .group(group),
      .parameters(parameters), .leaving(leaving), .left(left));
  // Units that are complete, have run and have left; what the next word is.
  reg [5:0] complete = 0, run = 0, gone = 0;
  reg in_packet = 1, rows;
  reg [3:0] index = 0;
  reg [`GROUP_BITS-1:0] at_group = 0, last_group;
  reg [$clog2(`COLUMNS)-1:0] at_column = 0;
  wire enters = word_valid && word_ready;
  wire has_rows = index == 0 ? word[1:0] == 0 : rows;
  wire packet_ends = in_packet && index == `UNIT_WORDS - 1;
  wire column_ends = at_column == `COLUMNS - 1;
  wire completes = enters && (in_packet ? packet_ends && !has_rows : column_ends && at_group == last_group);
  (* anyconst *) reg of_packet;
  (* anyconst *) reg [3:0] place;
  (* anyconst *) reg [`GROUP_BITS-1:0] place_group;
  (* anyconst *) reg [$clog2(`COLUMNS)-1:0] place_column;
  (* anyconst *) reg [$clog2(`WORD_BITS)-1:0] which;
  wire here = of_packet ? in_packet && index == place
                        : !in_packet && at_group == place_group && at_column == place_column;
  reg loaded = 0, followed = 0, kept;
  reg [5:0] number;
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
    if (enters && here && pick && !followed) {followed, number, kept} <= {1'b1, complete, word[which]};
  end
  wire [9:0] in_unit = place * `WORD_BITS + which, in_parameters = place_column * `PARAMETER_BITS + which;
`ifdef FALSE_TWIN
  wire runs = number <= run;
`else
  wire runs = number == run;
`endif
  // A last parameter is there two cycles after it came.
  reg settled = 0;
  always @(posedge clk) settled <= followed;
  always @* begin
    if (in_packet && index == 0 && word[1:0] == 0)
      assume (word[`A +: `EXTENT_BITS] != 0 && word[`A +: `EXTENT_BITS] <= 1 << `GROUP_BITS);
    assume (of_packet ? in_unit < `UNIT_BITS : which < `PARAMETER_BITS);
    assume (!unit_done || unit_valid);
    assume (!left || gone < run);
    assume (complete < 60);
    assert (unit_valid == (complete != run));
    assert (unit_loaded == loaded);
    assert (complete - gone <= 4 && complete - run <= 4);
    if (followed && unit_valid && runs) begin
      if (of_packet) assert (unit[in_unit] == kept);
      else if (settled && place_group == shown_group) assert (parameters[in_parameters] == kept);
    end
    if (followed && of_packet && complete > number && gone == number) assert (leaving[in_unit] == kept);
  end
endmodule
