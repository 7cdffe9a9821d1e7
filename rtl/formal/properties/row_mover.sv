// Row mover: rules of AW and W, WLAST with the last beat of each burst; the words that were read leave in order with
// the strobes of the row's bytes, none lost or doubled. One burst and one word, any, are followed.
module row_mover (
    input clk, input row_valid, input row_map, input [15:0] row_word, input [2:0] row_offset, input [8:0] row_bytes,
    input [31:0] row_address, input row_ends_unit, input [16:0] row_ring, input [63:0] read_data, input awready,
    input wready, input [1:0] bresp, input bvalid, input stop, input clear, input pick_burst, input pick_word);
  wire row_ready, read_enable, read_map, unit_sent, awvalid, awid, wvalid, wlast, bready, idle, error;
  wire [15:0] read_word;
  wire [31:0] awaddr, error_address;
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
      .stop(stop), .clear(clear), .idle(idle), .error(error), .error_address(error_address));
  wire [110:0] row = {row_map, row_word, row_offset, row_bytes, row_address, row_ends_unit, row_ring};
  stream_rules #(111, 1) rows (clk, clear, row_valid, row_ready, row);
  burst_rules bursts (clk, awvalid, awready, awaddr, awlen, awsize, awburst, awid);
  stream_rules #(73) w_rules (clk, 1'b0, wvalid, wready, {wdata, wstrb, wlast});
  wire begins;
  write_rules writes (
      .clk(clk), .awvalid(awvalid), .awready(awready), .awlen(awlen), .wvalid(wvalid), .wready(wready), .wlast(wlast),
      .bvalid(bvalid), .bready(bready), .pick(pick_burst), .begins(begins));
  // The row at hand: words read of it.
  reg [5:0] number = 0;
  reg read = 0, cleared = 0;
  reg [7:0] strobe;
  wire [8:0] from = row_offset, to = row_offset + row_bytes;
  wire [7:0] bytes;
  genvar lane;
  generate
    for (lane = 0; lane < 8; lane = lane + 1) begin : lanes
      assign bytes[lane] = 8 * number + lane >= from && 8 * number + lane < to;
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
  wire [4:0] held;
  // After `clear` words without strobes fill what was begun.
  queue_rules #(72, 5) order (
      clk, clear || cleared, pick_word, read, {read_data, strobe}, wvalid && wready && !cleared, {wdata, wstrb}, held);
  always @* begin
    assume (row_bytes != 0 && row_bytes <= 256 && row_address[2:0] == row_offset);
    assume (row_ring != 0 && row_ring <= 17'h10000 && row_word < 2 * row_ring);
    if (stop) assert (!begins);
    if (read_enable) begin
      assert (row_valid && read_map == row_map && read_word < row_ring);
      assert (row_ready == ends);
    end else assert (!row_ready);
    assert (unit_sent == (row_ready && row_ends_unit));
  end
endmodule
