// Command port: rules of AR; packets of each stream leave in order, each of its words as memory holds it, none lost
// or doubled, stable until taken. One word of memory, any, is followed: word `place` of packet `number` of `stream`.
module command_port (
    input clk, input start, input [4*`ADDRESS_BITS-1:0] bases, input [4*`LENGTH_BITS-1:0] counts,
    input [3:0] out_ready, input arready, input [63:0] rdata, input [1:0] rresp, input rlast, input rvalid,
    input stop, input clear, input refuse);
  wire primed, arvalid, arid, rready, idle, error, discards, waits, drops;
  wire [3:0] out_valid;
  wire [`JOB_BITS-1:0] jobs;
  wire [`TILE_BITS-1:0] tiles;
  wire [`CHUNK_BITS-1:0] chunks;
  wire [63:0] units;
  wire [`ADDRESS_BITS-1:0] araddr, error_address, address, first, next_first;
  wire [7:0] arlen;
  wire [2:0] arsize;
  wire [1:0] arburst;
  wire [`ADDRESS_BITS-1:0] jobs_base, tiles_base, chunks_base, units_base;
  wire [`LENGTH_BITS-1:0] jobs_words, tiles_words, chunks_words, units_words;
  assign {units_base, chunks_base, tiles_base, jobs_base} = bases;
  assign {units_words, chunks_words, tiles_words, jobs_words} = counts;
  codeword_command_port dut (
      .clk(clk), .rst(1'b0), .start(start), .primed(primed), .jobs_base(jobs_base), .tiles_base(tiles_base),
      .chunks_base(chunks_base), .units_base(units_base), .jobs_count(jobs_words), .tiles_count(tiles_words),
      .chunks_count(chunks_words), .units_count(units_words), .jobs_valid(out_valid[0]),
      .tiles_valid(out_valid[1]), .chunks_valid(out_valid[2]), .units_valid(out_valid[3]), .jobs_ready(out_ready[0]),
      .tiles_ready(out_ready[1]), .chunks_ready(out_ready[2]), .units_ready(out_ready[3]), .jobs_packet(jobs),
      .tiles_packet(tiles), .chunks_packet(chunks), .units_word(units), .araddr(araddr), .arlen(arlen),
      .arsize(arsize), .arburst(arburst), .arid(arid), .arvalid(arvalid), .arready(arready), .rdata(rdata),
      .rresp(rresp), .rlast(rlast), .rid(1'b0), .rvalid(rvalid), .rready(rready), .stop(stop), .clear(clear), .refuse(refuse),
      .idle(idle), .error(error), .error_address(error_address)
`ifdef STRENGTHENED
      , .count(count_inside), .\fetches.level (requests), .\fetches.head (request_head),
      .\fetches.tail (request_tail), .\fetches.storage[0] (waiting_fetches[0 +: FETCH]),
      .\fetches.storage[1] (waiting_fetches[FETCH +: FETCH]),
      .\order.level (fetches), .\order.head (order_head), .\order.tail (order_tail),
      .\order.storage[0] (order[3:0]), .\order.storage[1] (order[7:4]),
      .\port.channel.underway_level (level), .\port.channel.waiting (waiting), .\port.channel.begun (in_request),
      .\port.channel.rest_beats (rest_beats), .\port.channel.dropping (dropping),
      .\jobs.left (lefts[0*LENGTH +: LENGTH]), .\jobs.address (nexts[0*ADDRESS +: ADDRESS]),
      .\jobs.reserved (reserved[0 +: 3]), .\jobs.fifo.level (levels[0 +: 3]),
      .\jobs.fifo.head (heads[0 +: 2]), .\jobs.fifo.out_valid (there_valid[0]),
      .\jobs.fifo.write_addr (tails[0 +: 2]), .\jobs.fifo.out_data (fronts[0 +: 64]),
      .\jobs.fifo.storage[0] (words_inside[0 +: 64]), .\jobs.fifo.storage[1] (words_inside[64 +: 64]),
      .\jobs.fifo.storage[2] (words_inside[128 +: 64]), .\jobs.fifo.storage[3] (words_inside[192 +: 64]),
      .\jobs_assembler.count (jobs_count), .\jobs_assembler.collected (jobs_collected),
      .\jobs_assembler.full (full[0]),
      .\tiles.left (lefts[1*LENGTH +: LENGTH]), .\tiles.address (nexts[1*ADDRESS +: ADDRESS]),
      .\tiles.reserved (reserved[3 +: 3]), .\tiles.fifo.level (levels[3 +: 3]),
      .\tiles.fifo.head (heads[2 +: 2]), .\tiles.fifo.out_valid (there_valid[1]),
      .\tiles.fifo.write_addr (tails[2 +: 2]), .\tiles.fifo.out_data (fronts[64 +: 64]),
      .\tiles.fifo.storage[0] (words_inside[256 +: 64]), .\tiles.fifo.storage[1] (words_inside[320 +: 64]),
      .\tiles.fifo.storage[2] (words_inside[384 +: 64]), .\tiles.fifo.storage[3] (words_inside[448 +: 64]),
      .\tiles_assembler.count (tiles_count), .\tiles_assembler.collected (tiles_collected),
      .\tiles_assembler.full (full[1]),
      .\chunks.left (lefts[2*LENGTH +: LENGTH]), .\chunks.address (nexts[2*ADDRESS +: ADDRESS]),
      .\chunks.reserved (reserved[6 +: 3]), .\chunks.fifo.level (levels[6 +: 3]),
      .\chunks.fifo.head (heads[4 +: 2]), .\chunks.fifo.out_valid (there_valid[2]),
      .\chunks.fifo.write_addr (tails[4 +: 2]), .\chunks.fifo.out_data (fronts[128 +: 64]),
      .\chunks.fifo.storage[0] (words_inside[512 +: 64]), .\chunks.fifo.storage[1] (words_inside[576 +: 64]),
      .\chunks.fifo.storage[2] (words_inside[640 +: 64]), .\chunks.fifo.storage[3] (words_inside[704 +: 64]),
      .\chunks_assembler.count (chunks_count), .\chunks_assembler.collected (chunks_collected),
      .\chunks_assembler.full (full[2]),
      .\units.left (lefts[3*LENGTH +: LENGTH]), .\units.address (nexts[3*ADDRESS +: ADDRESS]),
      .\units.reserved (reserved[9 +: 3]), .\units.fifo.level (levels[9 +: 3]),
      .\units.fifo.head (heads[6 +: 2]), .\units.fifo.out_valid (there_valid[3]),
      .\units.fifo.write_addr (tails[6 +: 2]), .\units.fifo.out_data (fronts[192 +: 64]),
      .\units.fifo.storage[0] (words_inside[768 +: 64]), .\units.fifo.storage[1] (words_inside[832 +: 64]),
      .\units.fifo.storage[2] (words_inside[896 +: 64]), .\units.fifo.storage[3] (words_inside[960 +: 64])
`endif
      );
  localparam ADDRESS = `ADDRESS_BITS, LENGTH = `LENGTH_BITS, FETCH = `ADDRESS_BITS + 2;
  burst_rules #(3, ADDRESS, `COMMAND_BURST, $clog2(`PAGE_BYTES)) bursts (
      clk, arvalid, arready, araddr, arlen, arsize, arburst, arid);
  wire [$clog2(`OUTSTANDING+1)-1:0] begun, taken;
  wire [7:0] beat, length, next_length;
  read_memory #(3, ADDRESS, `OUTSTANDING) memory (
      clk, clear, arvalid, arready, araddr, arlen, rvalid, rready, rlast, address, discards, waits, drops, begun, taken,
      beat, length, next_length, first, next_first);
  stream_rules #(`JOB_BITS) job_rules (clk, clear, out_valid[0], out_ready[0], jobs);
  stream_rules #(`TILE_BITS) tile_rules (clk, clear, out_valid[1], out_ready[1], tiles);
  stream_rules #(`CHUNK_BITS) chunk_rules (clk, clear, out_valid[2], out_ready[2], chunks);
  stream_rules #(64) unit_rules (clk, clear, out_valid[3], out_ready[3], units);

  (* anyconst *) reg [1:0] stream;
  (* anyconst *) reg [3:0] number, place;
  (* anyconst *) reg [63:0] word;
  reg started = 0, cleared = 0;
  reg [ADDRESS-1:0] base;
  reg [LENGTH-1:0] count;
  reg [4:0] left = 0; // packets of the stream that have left
  wire [3:0] words = stream == 0 ? `JOB_WORDS : stream == 1 ? `TILE_WORDS : stream == 2 ? `CHUNK_WORDS : 1;
  wire [ADDRESS-1:0] where = base + 8 * (number * words + place);
  wire offered = out_valid[stream], goes = offered && out_ready[stream];
  wire [`TILE_BITS+`CHUNK_BITS+63:0] packet = stream == 0 ? jobs : stream == 1 ? tiles : stream == 2 ? chunks : units;
  wire [5:0] bits = stream == 0 ? `JOB_BITS % 64 : stream == 1 ? `TILE_BITS % 64 : stream == 2 ? `CHUNK_BITS % 64 : 0;
  wire [63:0] known = place + 1 == words && bits != 0 ? ~(~64'd0 << bits) : ~64'd0;
  wire [63:0] shown = packet >> 64 * place;
`ifdef FALSE_COMMAND_PORT
  wire there = left != number;
`else
  wire there = left == number;
`endif
  always @(posedge clk) begin
    if (start) begin
      started <= 1;
      base <= bases >> ADDRESS * stream;
      count <= counts >> LENGTH * stream;
    end
    if (goes) left <= left + 1;
    if (clear) cleared <= 1;
  end
  integer n;
`ifdef STRENGTHENED
  // What the registers inside hold, for fetches of one burst each. `coming`: words of each stream on their way.
  wire [1:0] fetches, requests, count_inside, level;
  wire request_head, request_tail, order_head, order_tail, waiting, in_request, dropping, jobs_count;
  wire [2:0] full;
  wire [2*FETCH-1:0] waiting_fetches;
  wire request_used = request_tail - request_head;
  wire [FETCH-1:0] request = waiting_fetches >> FETCH * request_head, other_request = waiting_fetches >> FETCH * !request_head;
  wire [ADDRESS-1:0] request_address = request, other_address = other_request;
  wire [1:0] size = request >> ADDRESS, other_size = other_request >> ADDRESS;
  wire [7:0] order;
  wire [`REQUEST_BITS-1:0] rest_beats;
  wire [4*LENGTH-1:0] lefts;
  wire [4*ADDRESS-1:0] nexts;
  wire [11:0] reserved, levels;
  wire [7:0] heads, tails;
  wire [3:0] there_valid;
  wire [255:0] fronts;
  wire [1023:0] words_inside;
  wire [$clog2(`TILE_WORDS)-1:0] tiles_count;
  wire [$clog2(`CHUNK_WORDS)-1:0] chunks_count;
  wire [64*`JOB_WORDS-1:0] jobs_collected;
  wire [64*`TILE_WORDS-1:0] tiles_collected;
  wire [64*`CHUNK_WORDS-1:0] chunks_collected;
  wire [7:0] due, one, other;
  read_lemma port_inside (
      clk, arvalid, arlen, rvalid && rready && rlast, waits, drops, begun, taken, beat, length, next_length, level,
      waiting, dropping, due, one, other);
  reg [1:0] used;
  wire order_used = order_tail - order_head;
  wire [3:0] oldest = order >> 4 * order_head, newest = order >> 4 * !order_head;
  wire [1:0] oldest_of = oldest[3:2], newest_of = newest[3:2], oldest_size = oldest[1:0], newest_size = newest[1:0];
  // Where the fetches begin.
  wire [ADDRESS-1:0] oldest_at = begun == 0 ? request_address : taken == 0 ? araddr : first;
  wire [ADDRESS-1:0] newest_at = begun == 0 ? other_address : begun == 1 ? request_address : taken == 1 ? araddr : next_first;
  reg [19:0] coming;
  always @* for (n = 0; n < 4; n = n + 1)
    coming[5*n +: 5] = (fetches != 0 && oldest_of == n ? oldest_size - beat[1:0] : 0)
                       + (fetches == 2 && newest_of == n ? newest_size : 0);
  wire [LENGTH-1:0] to_ask = lefts >> LENGTH * stream;
  wire [4:0] asked = count - to_ask, come = asked - (coming >> 5 * stream);
  wire [2:0] inside = levels >> 3 * stream;
  wire [4:0] popped = come - inside;
  wire [ADDRESS-1:0] next = nexts >> ADDRESS * stream;
  wire [1:0] head = heads >> 2 * stream;
  wire [255:0] storage = words_inside >> 256 * stream;
  wire whole = stream != 3 && full[stream];
  wire [3:0] part = whole ? words : stream == 0 ? jobs_count : stream == 1 ? tiles_count : stream == 2 ? chunks_count : 0;
  wire [447:0] collected = stream == 0 ? jobs_collected : stream == 1 ? tiles_collected : chunks_collected;
  wire [7:0] target = number * words + place;
  wire [7:0] assembling = (left + (stream != 3 && offered)) * words;
  wire [63:0] stored = storage >> 64 * target[1:0], front = fronts >> 64 * stream, at_head = storage >> 64 * head;
  wire [63:0] piece = collected >> 64 * (words - part + target - assembling);
  always @* begin
    assert (fetches <= `FETCHES && order_used == fetches[0] && requests <= 2 && request_used == requests[0]);
    assert (!in_request && fetches == (cleared ? 0 : begun + requests));
    for (n = 0; n < 4; n = n + 1) begin
      if (!started || cleared)
        assert (lefts[LENGTH*n +: LENGTH] == 0 && reserved[3*n +: 3] == 0 && levels[3*n +: 3] == 0 && !out_valid[n]);
      assert (reserved[3*n +: 3] == levels[3*n +: 3] + coming[5*n +: 5] && reserved[3*n +: 3] <= `COMMAND_WORDS);
      used = tails[2*n +: 2] - heads[2*n +: 2];
      assert (used == levels[3*n +: 2]);
      if (there_valid[n]) assert (levels[3*n +: 3] != 0);
      if (lefts[LENGTH*n +: LENGTH] != 0) assert (nexts[ADDRESS*n +: 4] == 0);
    end
    assert (tiles_count < `TILE_WORDS && chunks_count < `CHUNK_WORDS);
    assert (!(full[0] && (!out_valid[0] || jobs_count != 0)));
    assert (!(full[1] && (!out_valid[1] || tiles_count != 0)));
    assert (!(full[2] && (!out_valid[2] || chunks_count != 0)));
    if (cleared) assert (requests == 0 && (begun == 0 || drops));
    else begin
      assert (!drops && count_inside == beat);
      if (!started) assert (fetches == 0);
      if (fetches != 0) assert (oldest_size != 0 && oldest_size <= 2 && beat < oldest_size);
      if (fetches == 2) assert (newest_size != 0 && newest_size <= 2);
      if (begun != 0) assert (one + 1 == oldest_size);
      if (begun == 2) assert (other + 1 == newest_size);
      if (requests != 0) assert (size == (begun == 0 ? oldest_size : newest_size) && request_address[3:0] == 0);
      if (requests == 2) assert (other_size == newest_size && other_address[3:0] == 0);
      if (started) begin
        assert (base[`APART +: 2] == stream && !base[`APART-1] && base[3:0] == 0);
        assert (to_ask <= count && come <= asked && popped <= come && count <= `MOST_WORDS);
        assert (next == base + 8 * asked && head == popped[1:0]);
        assert (popped == assembling + part && (stream == 3 || whole || part < words));
        if (fetches != 0 && oldest_of == stream) assert (oldest_at == base + 8 * (come - beat));
        if (fetches == 2 && newest_of == stream)
          assert (newest_at == base + 8 * (come + (oldest_of == stream ? oldest_size - beat : 0)));
        if (popped <= target && target < come) assert (stored == word);
        if (there_valid[stream]) assert (front == at_head);
        if (assembling <= target && target < assembling + part) assert (piece == word);
      end else assert (left == 0 && heads == 0 && part == 0);
    end
  end
`endif
  always @* begin
    // A run; `clear` ends it. The streams lie apart.
    assume (!start || !started && !clear && !cleared);
    for (n = 0; n < 4; n = n + 1) begin
      assume (bases[ADDRESS*n + `APART +: 2] == n && bases[ADDRESS*n + `APART - 1] == 0);
      assume (bases[ADDRESS*n +: `ALIGNED] == 0 && counts[LENGTH*n +: LENGTH] <= `MOST_WORDS);
    end
    assume (place < words);
    if (rvalid && address == where) assume (rdata == word);
    assert (rready);
    if (offered) assert (started && !cleared && (left + 1) * words <= count);
    if (offered && there) assert ((shown & known) == (word & known));
    if (stop || discards) assert (!arvalid || waits);
  end
endmodule
