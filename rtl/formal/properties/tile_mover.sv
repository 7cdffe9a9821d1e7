// Tile mover: rules of AR; every word of memory's goes to L1 in its cycle, place after place, and a tile is there
// with the last word of its transfers, not before. Transfers have one or two lines and planes here.
module tile_mover (
    input clk, input tile_valid, input [`TILE_BITS-1:0] tile_packet, input begin_layer, input visit_end,
    input maps_there, input arready, input [63:0] rdata, input [1:0] rresp, input rlast, input rvalid, input stop,
    input clear);
  wire tile_ready, tile_there, write_enable, write_group, arvalid, arid, rready, idle, error, discards;
  wire [15:0] write_word;
  wire [63:0] write_data;
  wire [31:0] araddr, error_address, address;
  wire [7:0] arlen;
  wire [2:0] arsize;
  wire [1:0] arburst;
  codeword_tile_mover dut (
      .clk(clk), .rst(1'b0), .tile_valid(tile_valid), .tile_ready(tile_ready), .tile_packet(tile_packet),
      .\begin (begin_layer), .visit_end(visit_end), .maps_there(maps_there), .tile_there(tile_there),
      .write_enable(write_enable), .write_group(write_group), .write_word(write_word), .write_data(write_data),
      .araddr(araddr), .arlen(arlen), .arsize(arsize), .arburst(arburst), .arid(arid), .arvalid(arvalid),
      .arready(arready), .rdata(rdata), .rresp(rresp), .rlast(rlast), .rid(1'b0), .rvalid(rvalid), .rready(rready),
      .stop(stop), .clear(clear), .idle(idle), .error(error), .error_address(error_address));
  burst_rules bursts (clk, arvalid, arready, araddr, arlen, arsize, arburst, arid);
  read_memory #(3, 32, `OUTSTANDING) memory (
      clk, clear, arvalid, arready, araddr, arlen, rvalid, rready, rlast, address, discards);
  stream_rules #(`TILE_BITS, 1) tiles (clk, clear, tile_valid, tile_ready, tile_packet);
  // Address, beats, lines, line stride, planes, plane stride, first word, of both transfers.
  wire [31:0] i_address, i_line, i_plane, r_address, r_line, r_plane;
  wire [15:0] i_beats, i_lines, i_planes, i_to, r_beats, r_lines, r_planes, r_to;
  assign {r_to, r_plane, r_planes, r_line, r_lines, r_beats, r_address,
          i_to, i_plane, i_planes, i_line, i_lines, i_beats, i_address} = tile_packet[`TILE_BITS-1:`IFMAP];
  wire [17:0] i_words = i_beats << (i_lines == 2) << (i_planes == 2);
  wire [17:0] r_words = r_beats << (r_lines == 2) << (r_planes == 2);
  // Words of the visit at hand that are still to come, of its ifmap and of its residual, and where they go.
  reg [17:0] i_left = 0, r_left = 0;
  reg [15:0] i_next, r_next;
  wire residual = i_left == 0;
  always @(posedge clk) begin
    if (write_enable) begin
      if (residual) {r_left, r_next} <= {r_left - 18'd1, r_next + 16'd1};
      else {i_left, i_next} <= {i_left - 18'd1, i_next + 16'd1};
    end
    if (tile_ready) {i_left, i_next, r_left, r_next} <= {i_words, i_to, r_words, r_to};
    if (clear) {i_left, r_left} <= 0;
  end
`ifdef FALSE_TWIN
  wire last = write_enable && i_left + r_left <= 2;
`else
  wire last = write_enable && i_left + r_left == 1;
`endif
  wire none = tile_ready && i_words + r_words == 0;
  always @* begin
    assume (i_address[2:0] == 0 && i_line[2:0] == 0 && i_plane[2:0] == 0);
    assume (r_address[2:0] == 0 && r_line[2:0] == 0 && r_plane[2:0] == 0);
    assume (i_lines != 0 && i_lines <= 2 && i_planes != 0 && i_planes <= 2);
    assume (r_lines != 0 && r_lines <= 2 && r_planes != 0 && r_planes <= 2);
    if (tile_ready) assert (tile_valid && (i_left + r_left == 0 || last));
    assert (rready && write_enable == (rvalid && !discards));
    if (write_enable) begin
      assert (i_left + r_left != 0 && write_data == rdata);
      assert (write_group == residual && write_word == (residual ? r_next : i_next));
    end
    if (!clear) assert (tile_there == (last || none));
    if (stop || discards) assert (!arvalid || waits);
  end
  reg waits = 0;
  always @(posedge clk) waits <= arvalid && !arready;
endmodule
