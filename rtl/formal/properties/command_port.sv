// Command port: rules of AR; packets of each stream leave in order, each of its words as memory holds it, none lost
// or doubled, stable until taken. One word of memory, any, is followed: word `place` of packet `number` of `stream`.
module command_port (
    input clk, input start, input [127:0] bases, input [127:0] counts, input [3:0] out_ready, input arready,
    input [63:0] rdata, input [1:0] rresp, input rlast, input rvalid, input stop, input clear);
  wire primed, arvalid, arid, rready, idle, error, discards;
  wire [3:0] out_valid;
  wire [`JOB_BITS-1:0] jobs;
  wire [`TILE_BITS-1:0] tiles;
  wire [`CHUNK_BITS-1:0] chunks;
  wire [63:0] units;
  wire [31:0] araddr, error_address, address;
  wire [7:0] arlen;
  wire [2:0] arsize;
  wire [1:0] arburst;
  codeword_command_port dut (
      .clk(clk), .rst(1'b0), .start(start), .primed(primed), .jobs_base(bases[31:0]), .tiles_base(bases[63:32]),
      .chunks_base(bases[95:64]), .units_base(bases[127:96]), .jobs_count(counts[31:0]), .tiles_count(counts[63:32]),
      .chunks_count(counts[95:64]), .units_count(counts[127:96]), .jobs_valid(out_valid[0]),
      .tiles_valid(out_valid[1]), .chunks_valid(out_valid[2]), .units_valid(out_valid[3]), .jobs_ready(out_ready[0]),
      .tiles_ready(out_ready[1]), .chunks_ready(out_ready[2]), .units_ready(out_ready[3]), .jobs_packet(jobs),
      .tiles_packet(tiles), .chunks_packet(chunks), .units_word(units), .araddr(araddr), .arlen(arlen),
      .arsize(arsize), .arburst(arburst), .arid(arid), .arvalid(arvalid), .arready(arready), .rdata(rdata),
      .rresp(rresp), .rlast(rlast), .rid(1'b0), .rvalid(rvalid), .rready(rready), .stop(stop), .clear(clear),
      .idle(idle), .error(error), .error_address(error_address));
  burst_rules bursts (clk, arvalid, arready, araddr, arlen, arsize, arburst, arid);
  read_memory #(3, 32, `OUTSTANDING) memory (
      clk, clear, arvalid, arready, araddr, arlen, rvalid, rready, rlast, address, discards);
  stream_rules #(`JOB_BITS) job_rules (clk, clear, out_valid[0], out_ready[0], jobs);
  stream_rules #(`TILE_BITS) tile_rules (clk, clear, out_valid[1], out_ready[1], tiles);
  stream_rules #(`CHUNK_BITS) chunk_rules (clk, clear, out_valid[2], out_ready[2], chunks);
  stream_rules #(64) unit_rules (clk, clear, out_valid[3], out_ready[3], units);

  (* anyconst *) reg [1:0] stream;
  (* anyconst *) reg [3:0] number, place;
  (* anyconst *) reg [63:0] word;
  reg started = 0, cleared = 0;
  reg [31:0] base, count;
  reg [4:0] left = 0; // packets of the stream that have left
  wire [3:0] words = stream == 0 ? `JOB_WORDS : stream == 1 ? `TILE_WORDS : stream == 2 ? `CHUNK_WORDS : 1;
  wire [31:0] where = base + 8 * (number * words + place);
  wire offered = out_valid[stream], taken = offered && out_ready[stream];
  wire [`TILE_BITS+`CHUNK_BITS+63:0] packet = stream == 0 ? jobs : stream == 1 ? tiles : stream == 2 ? chunks : units;
  wire [5:0] bits = stream == 0 ? `JOB_BITS % 64 : stream == 1 ? `TILE_BITS % 64 : stream == 2 ? `CHUNK_BITS % 64 : 0;
  wire [63:0] known = place + 1 == words && bits != 0 ? ~(~64'd0 << bits) : ~64'd0;
  wire [63:0] shown = packet >> 64 * place;
`ifdef FALSE_TWIN
  wire there = left != number;
`else
  wire there = left == number;
`endif
  always @(posedge clk) begin
    if (start) begin
      started <= 1;
      base <= bases >> 32 * stream;
      count <= counts >> 32 * stream;
    end
    if (taken) left <= left + 1;
    if (clear) cleared <= 1;
  end
  integer n;
  always @* begin
    // A run; `clear` ends it. The streams lie apart and have at most 32 words.
    assume (!start || !started && !clear && !cleared);
    for (n = 0; n < 4; n = n + 1) begin
      assume (bases[32*n+16 +: 2] == n && bases[32*n+15] == 0 && bases[32*n +: 3] == 0);
      assume (counts[32*n +: 32] <= 32);
    end
    assume (place < words);
    if (rvalid && address == where) assume (rdata == word);
    assert (rready);
    if (offered) assert (started && !cleared && (left + 1) * words <= count);
    if (offered && there) assert ((shown & known) == (word & known));
    if (stop || discards) assert (!arvalid || waits);
  end
  reg waits = 0;
  always @(posedge clk) waits <= arvalid && !arready;
endmodule
