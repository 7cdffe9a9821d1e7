// AXI4 write master: rules of AW and W, WLAST with the last beat of each burst, no beat
// before its burst, no response without need.
module write_port (
    input clk, input request_valid, input [`ADDRESS_BITS-1:0] address, input [`REQUEST_BITS-1:0] beats,
    input word_valid, input [7:0] word_data, input word_strobe, input awready, input wready, input [1:0] bresp,
    input bvalid, input stop, input clear, input pick, input refuse);
  wire request_ready, word_ready, awvalid, awid, wvalid, wlast, bready, idle, error;
  wire [`ADDRESS_BITS-1:0] awaddr, error_address;
  wire [7:0] awlen, wdata;
  wire wstrb;
  wire [2:0] awsize;
  wire [1:0] awburst;
  codeword_write_port_8 dut (
      .clk(clk), .rst(1'b0), .request_valid(request_valid), .request_ready(request_ready), .address(address),
      .beats(beats), .word_ready(word_ready), .word_valid(word_valid), .word_data(word_data),
      .word_strobe(word_strobe), .awaddr(awaddr), .awlen(awlen), .awsize(awsize), .awburst(awburst), .awid(awid),
      .awvalid(awvalid), .awready(awready), .wdata(wdata), .wstrb(wstrb), .wlast(wlast), .wvalid(wvalid),
      .wready(wready), .bresp(bresp), .bid(1'b0), .bvalid(bvalid), .bready(bready), .stop(stop), .clear(clear), .refuse(refuse),
      .idle(idle), .error(error), .error_address(error_address)
`ifdef STRENGTHENED
      , .owed(owed), .fresh(fresh), .coming(coming), .sent(sent_inside), .queue_level(queue_level), .\lengths.level (lengths_level),
      .\channel.underway_level (level), .\channel.waiting (waiting), .\channel.begun (in_request),
      .\channel.rest_beats (rest_beats)
`endif
      );
  burst_rules #(0, `ADDRESS_BITS, `BURST_BEATS, $clog2(`PAGE_BYTES)) bursts (
      clk, awvalid, awready, awaddr, awlen, awsize, awburst, awid);
  stream_rules #(`ADDRESS_BITS + `REQUEST_BITS, 1) requests (
      clk, clear, request_valid, request_ready, {address, beats});
  stream_rules #(10) w_rules (clk, 1'b0, wvalid, wready, {wdata, wstrb, wlast});

  wire begins, w_ends, aw_waits, followed;
  wire [6:0] owing, ahead, written, taken;
  wire [7:0] length, sent;
  write_rules writes (
      .clk(clk), .awvalid(awvalid), .awready(awready), .awlen(awlen), .wvalid(wvalid), .wready(wready), .wlast(wlast),
      .bvalid(bvalid), .bready(bready), .pick(pick), .begins(begins), .w_ends(w_ends), .aw_waits(aw_waits),
      .followed(followed), .owing(owing), .ahead(ahead), .written(written), .taken(taken), .length(length),
      .sent(sent));
  // Bursts without their response.
  reg [6:0] awaited = 0;
  always @(posedge clk) awaited <= awaited + begins - (bvalid && bready);
`ifdef STRENGTHENED
  wire [$clog2(2*`BURST_BEATS+1)-1:0] owed;
  wire [$clog2(`BURST_BEATS+1)-1:0] fresh;
  wire coming, waiting, in_request;
  wire [7:0] sent_inside;
  wire [$clog2(`WAITING_WORDS+1)-1:0] queue_level;
  wire [1:0] lengths_level, level;
  wire [`REQUEST_BITS-1:0] rest_beats;
  write_lemma inside (
      clk, begins, w_ends, bvalid && bready, awlen, wvalid, wlast, aw_waits, followed, owing, ahead, written, taken,
      length, sent, owed, fresh, coming, sent_inside, queue_level, lengths_level, level, waiting, in_request, request_valid,
      rest_beats);
`endif
`ifdef FALSE_WRITE_PORT
  wire rests = owing == 0;
`else
  wire rests = awaited == 0;
`endif
  always @* begin
    assume (!request_valid || beats != 0);
    assert (bready);
    assert (idle == rests);
    assert (awaited <= `OUTSTANDING);
    if (stop) assert (!begins);
  end
endmodule
