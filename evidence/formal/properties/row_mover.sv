// Row mover: rules of AW and W, WLAST with the last beat of each burst; the words that were read leave in order with
// the strobes of the row's bytes, none lost or doubled. One burst and one word, any, are followed.
module row_mover (
    input clk, input row_valid, input row_map, input [`WORD_ADDRESS_BITS-1:0] row_word, input [2:0] row_offset,
    input [$clog2(`ROW_BYTES+1)-1:0] row_bytes, input [`ADDRESS_BITS-1:0] row_address, input row_ends_unit,
    input [`WORD_ADDRESS_BITS:0] row_ring, input [63:0] read_data, input awready, input wready, input [1:0] bresp,
    input bvalid, input stop, input clear, input pick_burst, input pick_word, input refuse);
  wire row_ready, read_enable, read_map, unit_sent, awvalid, awid, wvalid, wlast, bready, idle, error;
  wire [`WORD_ADDRESS_BITS-1:0] read_word;
  wire [`ADDRESS_BITS-1:0] awaddr, error_address;
  wire [7:0] awlen, wstrb;
  wire [63:0] wdata;
  wire [2:0] awsize;
  wire [1:0] awburst;
  codeword_row_mover dut (
      .clk(clk), .rst(1'b0), .row_valid(row_valid), .row_ready(row_ready), .row_map(row_map), .row_word(row_word),
      .row_offset(row_offset), .row_bytes(row_bytes), .row_address(row_address), .row_ends_unit(row_ends_unit),
      .row_ring(row_ring), .read_enable(read_enable), .read_map(read_map), .read_word(read_word),
      .read_data(read_data), .unit_sent(unit_sent), .awaddr(awaddr), .awlen(awlen), .awsize(awsize),
      .awburst(awburst), .awid(awid), .awvalid(awvalid), .awready(awready), .wdata(wdata), .wstrb(wstrb),
      .wlast(wlast), .wvalid(wvalid), .wready(wready), .bresp(bresp), .bid(1'b0), .bvalid(bvalid), .bready(bready),
      .stop(stop), .clear(clear), .refuse(refuse), .idle(idle), .error(error), .error_address(error_address)
`ifdef STRENGTHENED
      , .requested(requested), .rest(rest), .rest_word(rest_word), .port_word_strobe(word_strobe),
      .\port.owed (owed), .\port.fresh (fresh), .\port.coming (coming), .\port.sent (sent_inside), .\port.queue_level (queue_level),
      .\port.lengths.level (lengths_level), .\port.channel.underway_level (level),
      .\port.channel.waiting (waiting), .\port.channel.begun (in_request),
      .\port.channel.rest_beats (rest_beats), .\port.channel.dropping (dropping),
      .\port.queue.head (head), .\port.queue.storage[0] (words[0 +: 72]),
      .\port.queue.storage[1] (words[72 +: 72])
`endif
      );
  localparam ROW = 6 + 2 * `WORD_ADDRESS_BITS + $clog2(`ROW_BYTES+1) + `ADDRESS_BITS;
  wire [ROW-1:0] row = {row_map, row_word, row_offset, row_bytes, row_address, row_ends_unit, row_ring};
  stream_rules #(ROW, 1) rows (clk, clear, row_valid, row_ready, row);
  burst_rules #(3, `ADDRESS_BITS, `BURST_BEATS, $clog2(`PAGE_BYTES)) bursts (
      clk, awvalid, awready, awaddr, awlen, awsize, awburst, awid);
  stream_rules #(73) w_rules (clk, 1'b0, wvalid, wready, {wdata, wstrb, wlast});
  wire begins, w_ends, aw_waits, burst_followed;
  wire [6:0] owing, bursts_ahead, written, taken;
  wire [7:0] length, sent;
  write_rules writes (
      .clk(clk), .awvalid(awvalid), .awready(awready), .awlen(awlen), .wvalid(wvalid), .wready(wready), .wlast(wlast),
      .bvalid(bvalid), .bready(bready), .pick(pick_burst), .begins(begins), .w_ends(w_ends), .aw_waits(aw_waits),
      .followed(burst_followed), .owing(owing), .ahead(bursts_ahead), .written(written), .taken(taken),
      .length(length), .sent(sent));
  // The row at hand: words read of it.
  reg [5:0] number = 0;
  reg read = 0, cleared = 0;
  reg [7:0] strobe;
  wire [8:0] from = row_offset, to = row_offset + row_bytes;
`ifdef FALSE_ROW_MOVER
  wire [8:0] strobes_to = to + 1;
`else
  wire [8:0] strobes_to = to;
`endif
  wire [7:0] bytes;
  genvar lane;
  generate
    for (lane = 0; lane < 8; lane = lane + 1) begin : lanes
      assign bytes[lane] = 8 * number + lane >= from && 8 * number + lane < strobes_to;
    end
  endgenerate
  wire ends = 8 * (number + 1) >= to;
  always @(posedge clk) begin
    cleared <= cleared || clear;
    read <= read_enable;
    strobe <= bytes;
    if (read_enable) number <= ends ? 0 : number + 1;
    if (clear) number <= 0;
  end
  wire [4:0] held, ahead;
  wire followed;
  wire [71:0] word;
  // After `clear` words without strobes fill what was begun.
  queue_rules #(72, 5) order (
      clk, clear || cleared, pick_word, read, {strobe, read_data}, wvalid && wready && !cleared, {wstrb, wdata}, held,
      followed, ahead, word);
`ifdef STRENGTHENED
  // What the registers inside hold.
  wire [$clog2(2*`BURST_BEATS+1)-1:0] owed;
  wire [$clog2(`BURST_BEATS+1)-1:0] fresh;
  wire requested, coming, waiting, in_request, dropping, head;
  wire [7:0] sent_inside, word_strobe;
  wire [1:0] queue_level, lengths_level, level;
  wire [`REQUEST_BITS-1:0] rest_beats;
  wire [$clog2(`ROW_BYTES/8+2)-1:0] rest;
  wire [`WORD_ADDRESS_BITS:0] rest_word;
  wire [143:0] words;
  write_lemma port_inside (
      clk, begins, w_ends, bvalid && bready, awlen, wvalid, wlast, aw_waits, burst_followed, owing, bursts_ahead,
      written, taken, length, sent, owed, fresh, coming, sent_inside, queue_level, lengths_level, level, waiting, in_request,
      row_valid && !requested, rest_beats);
  wire [6:0] count = (to + 7) / 8;
  wire [6:0] asked = requested ? count : in_request ? count - rest_beats : 0;
  always @* begin
    if (requested) assert (row_valid);
    if (in_request) assert (rest_beats < count);
    if (number != 0) assert (row_valid && rest == count - number && rest_word <= row_ring);
    assert (number <= asked);
    if (!dropping) assert (owed + fresh == asked - number);
    if (dropping) assert (cleared && !in_request && number == 0);
    if (read) assert (coming && word_strobe == strobe);
    if (!cleared) assert (coming == read);
  end
  queue_lemma #(72, 2, 5) words_inside (
      words, head, cleared ? 2'd0 : queue_level, held, followed, ahead, word);
`endif
  always @* begin
    assume (row_bytes != 0 && row_bytes <= `ROW_BYTES && row_address[2:0] == row_offset);
    assume (row_ring != 0 && row_ring <= 1 << `WORD_ADDRESS_BITS && row_word < 2 * row_ring);
    if (stop) assert (!begins);
    if (read_enable) begin
      assert (row_valid && read_map == row_map && read_word < row_ring);
      assert (row_ready == ends);
    end else assert (!row_ready);
    assert (unit_sent == (row_ready && row_ends_unit));
  end
endmodule
