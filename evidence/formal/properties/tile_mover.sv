// Tile mover: rules of AR; every word of memory's goes to L1 in its cycle, place after place, and a tile is there
// with the last word of its transfers, not before. Transfers have one or two lines and planes here.
module tile_mover (
    input clk, input tile_valid, input [`TILE_BITS-1:0] tile_packet, input begin_layer, input visit_end,
    input maps_there, input arready, input [63:0] rdata, input [1:0] rresp, input rlast, input rvalid, input stop,
    input clear, input refuse);
  wire tile_ready, tile_there, write_enable, write_group, arvalid, arid, rready, idle, error, waits, drops, discards;
  wire [`WORD_ADDRESS_BITS-1:0] write_word;
  wire [63:0] write_data;
  wire [`ADDRESS_BITS-1:0] araddr, error_address, address;
  wire [7:0] arlen;
  wire [2:0] arsize;
  wire [1:0] arburst;
  codeword_tile_mover dut (
      .clk(clk), .rst(1'b0), .tile_valid(tile_valid), .tile_ready(tile_ready), .tile_packet(tile_packet),
      .\begin (begin_layer), .visit_end(visit_end), .maps_there(maps_there), .tile_there(tile_there),
      .write_enable(write_enable), .write_group(write_group), .write_word(write_word), .write_data(write_data),
      .araddr(araddr), .arlen(arlen), .arsize(arsize), .arburst(arburst), .arid(arid), .arvalid(arvalid),
      .arready(arready), .rdata(rdata), .rresp(rresp), .rlast(rlast), .rid(1'b0), .rvalid(rvalid), .rready(rready),
      .stop(stop), .clear(clear), .refuse(refuse), .idle(idle), .error(error), .error_address(error_address)
`ifdef STRENGTHENED
      , .loads(loads), .awaited(awaited), .beats(beats), .all_asked(all_asked), .follows(follows), .wait_(setup), .later(later),
      .\runs.valid (run_valid), .\runs.line_count (lines), .\runs.lines_left (lines_left),
      .\runs.planes_left (planes_left), .\port.channel.underway_level (level), .\port.channel.waiting (waiting),
      .\port.channel.begun (in_request), .\port.channel.rest_beats (rest_beats), .\port.channel.dropping (dropping)
`endif
      );
  burst_rules #(3, `ADDRESS_BITS, `BURST_BEATS, $clog2(`PAGE_BYTES)) bursts (
      clk, arvalid, arready, araddr, arlen, arsize, arburst, arid);
  wire [$clog2(`OUTSTANDING+1)-1:0] begun, taken;
  wire [7:0] beat, length, next_length;
  read_memory #(3, `ADDRESS_BITS, `OUTSTANDING) memory (
      clk, clear, arvalid, arready, araddr, arlen, rvalid, rready, rlast, address, discards, waits, drops, begun, taken,
      beat, length, next_length);
  stream_rules #(`TILE_BITS, 1) tiles (clk, clear, tile_valid, tile_ready, tile_packet);
  // Address, beats, lines, line stride, planes, plane stride, first word, of both transfers.
  wire [`ADDRESS_BITS-1:0] i_address, i_line, i_plane, r_address, r_line, r_plane;
  wire [`WORD_ADDRESS_BITS-1:0] i_beats, i_lines, i_planes, i_to, r_beats, r_lines, r_planes, r_to;
  assign {r_to, r_plane, r_planes, r_line, r_lines, r_beats, r_address,
          i_to, i_plane, i_planes, i_line, i_lines, i_beats, i_address} = tile_packet[`TILE_BITS-1:`IFMAP];
  localparam LEFT = `WORD_ADDRESS_BITS + 2;
  wire [LEFT-1:0] i_words = i_beats << (i_lines == 2) << (i_planes == 2);
  wire [LEFT-1:0] r_words = r_beats << (r_lines == 2) << (r_planes == 2);
  // Words of the visit at hand that are still to come, of its ifmap and of its residual, and where they go.
  reg [LEFT-1:0] i_left = 0, r_left = 0;
  reg [`WORD_ADDRESS_BITS-1:0] i_next, r_next;
  wire residual = i_left == 0;
  wire [LEFT:0] left = i_left + r_left, words = i_words + r_words;
  always @(posedge clk) begin
    if (write_enable) begin
      if (residual) {r_left, r_next} <= {r_left - 1'd1, r_next + 1'd1};
      else {i_left, i_next} <= {i_left - 1'd1, i_next + 1'd1};
    end
    if (tile_ready) {i_left, i_next, r_left, r_next} <= {i_words, i_to, r_words, r_to};
    if (clear) {i_left, r_left} <= 0;
  end
`ifdef FALSE_TILE_MOVER
  wire last = write_enable && left <= 2;
`else
  wire last = write_enable && left == 1;
`endif
  wire none = tile_ready && words == 0;
`ifdef STRENGTHENED
  // What the registers inside hold, of the transfer at hand.
  wire [`WORD_ADDRESS_BITS:0] awaited;
  wire [`WORD_ADDRESS_BITS-1:0] beats, lines, lines_left, planes_left;
  wire loads, all_asked, follows, run_valid, in_request, waiting, dropping;
  wire [1:0] setup, level;
  wire [`REQUEST_BITS-1:0] rest_beats;
  wire [(`TILE_BITS-`IFMAP)/2-1:0] later;
  wire [`ADDRESS_BITS-1:0] l_address, l_line, l_plane;
  wire [`WORD_ADDRESS_BITS-1:0] l_beats, l_lines, l_planes, l_to;
  assign {l_to, l_plane, l_planes, l_line, l_lines, l_beats, l_address} = later;
  wire [7:0] due;
  read_lemma port_inside (
      clk, arvalid, arlen, rvalid && rready && rlast, waits, drops, begun, taken, beat, length, next_length, level,
      waiting, dropping, due);
  wire [7:0] coming = drops ? 0 : due, asked = in_request ? beats - rest_beats : 0;
  wire [7:0] runs = run_valid ? lines_left + (planes_left == 2 ? lines : 0) : 0;
  wire [7:0] rest = residual ? r_left : i_left;
  wire [`WORD_ADDRESS_BITS:0] balance = coming - asked;
  always @* begin
    if (loads) assert (left == 0 && tile_valid && words != 0);
    if (left != 0) begin
      assert (all_asked == !run_valid && beats != 0);
      assert (rest == coming + runs * beats - asked && awaited == balance);
      assert (write_group == residual && write_word == (residual ? r_next : i_next));
      assert (follows == (i_left != 0 && r_left != 0));
    end else assert (!run_valid && coming == 0);
    if (run_valid) begin
      assert (lines_left != 0 && lines_left <= lines && lines <= 2);
      assert (planes_left != 0 && planes_left <= 2);
    end
    if (in_request) assert (run_valid && setup == 0 && rest_beats != 0 && rest_beats < beats);
    if (left != 0 && follows) begin
      assert (r_left == l_beats << (l_lines == 2) << (l_planes == 2) && r_next == l_to);
      assert (l_lines != 0 && l_lines <= 2 && l_planes != 0 && l_planes <= 2);
      assert (l_address[2:0] == 0 && l_line[2:0] == 0 && l_plane[2:0] == 0);
    end
  end
`endif
  always @* begin
    assume (i_address[2:0] == 0 && i_line[2:0] == 0 && i_plane[2:0] == 0);
    assume (r_address[2:0] == 0 && r_line[2:0] == 0 && r_plane[2:0] == 0);
    assume (i_lines != 0 && i_lines <= 2 && i_planes != 0 && i_planes <= 2);
    assume (r_lines != 0 && r_lines <= 2 && r_planes != 0 && r_planes <= 2);
    if (tile_ready) assert (tile_valid && (left == 0 || last));
    assert (rready && write_enable == (rvalid && !discards));
    if (write_enable) begin
      assert (left != 0 && write_data == rdata);
      assert (write_group == residual && write_word == (residual ? r_next : i_next));
    end
    if (!clear) assert (tile_there == (last || none));
    if (stop || discards) assert (!arvalid || waits);
  end
endmodule
