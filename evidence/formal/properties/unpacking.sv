// Beat buffer and row decoder, connected as in the loader: record m of the stream of bits is record m of what is
// decoded, wherever it lies in beats and rows. Against a plain shift register of all bits that wait; one record of each
// row, one codeword, any of them. A row holds one or two records.
module unpacking (
    input clk, input clear, input write, input [`BEAT_BITS-1:0] data, input look, input one, input [2:0] index_bits,
    input write_enable, input [3:0] write_address, input [31:0] write_data);
  localparam RING = 2 * `RING_BITS, BITS = $clog2(RING), LOW = $clog2(`BEAT_BITS);
  wire ready, done;
  wire [BITS:0] fill;
  wire [11:0] row;
  wire [63:0] values;
  wire [7:0] masks;
  wire [3:0] size = 2 + index_bits, width = one ? size : 2 * size;
  // What the registers inside hold: bits of the ring `from` .. `to`, and the codewords.
  wire [RING-1:0] ring;
  wire [BITS-1:0] from, to, used = to - from;
  wire [511:0] words_0, words_1; // of both copies of the codebook
  assign to[LOW-1:0] = 0;
  codeword_beat_buffer buffer (
      .clk(clk), .rst(1'b0), .clear(clear), .write(write), .data(data), .ready(ready), .fill(fill), .row(row),
      .consume(look), .width(width), .\low__addr (from[BITS-1]), .offset(from[BITS-2:0]),
      .\write__addr (to[BITS-1]), .lane(to[BITS-2:LOW]), .\ring[0] (ring[0 +: `RING_BITS]),
      .\ring[1] (ring[`RING_BITS +: `RING_BITS]));
  codeword_row_decoder decoder (
      .clk(clk), .rst(1'b0), .look(look), .row({20'd0, row}), .index_bits(index_bits), .raw(1'b0), .done(done),
      .write_enable(write_enable), .write_address(write_address), .write_data(write_data), .values(values),
      .masks(masks),
      .\codebook.copy_0.words[0] (words_0[0 +: 32]), .\codebook.copy_0.words[1] (words_0[32 +: 32]),
      .\codebook.copy_0.words[2] (words_0[64 +: 32]), .\codebook.copy_0.words[3] (words_0[96 +: 32]),
      .\codebook.copy_0.words[4] (words_0[128 +: 32]), .\codebook.copy_0.words[5] (words_0[160 +: 32]),
      .\codebook.copy_0.words[6] (words_0[192 +: 32]), .\codebook.copy_0.words[7] (words_0[224 +: 32]),
      .\codebook.copy_0.words[8] (words_0[256 +: 32]), .\codebook.copy_0.words[9] (words_0[288 +: 32]),
      .\codebook.copy_0.words[10] (words_0[320 +: 32]), .\codebook.copy_0.words[11] (words_0[352 +: 32]),
      .\codebook.copy_0.words[12] (words_0[384 +: 32]), .\codebook.copy_0.words[13] (words_0[416 +: 32]),
      .\codebook.copy_0.words[14] (words_0[448 +: 32]), .\codebook.copy_0.words[15] (words_0[480 +: 32]),
      .\codebook.copy_1.words[0] (words_1[0 +: 32]), .\codebook.copy_1.words[1] (words_1[32 +: 32]),
      .\codebook.copy_1.words[2] (words_1[64 +: 32]), .\codebook.copy_1.words[3] (words_1[96 +: 32]),
      .\codebook.copy_1.words[4] (words_1[128 +: 32]), .\codebook.copy_1.words[5] (words_1[160 +: 32]),
      .\codebook.copy_1.words[6] (words_1[192 +: 32]), .\codebook.copy_1.words[7] (words_1[224 +: 32]),
      .\codebook.copy_1.words[8] (words_1[256 +: 32]), .\codebook.copy_1.words[9] (words_1[288 +: 32]),
      .\codebook.copy_1.words[10] (words_1[320 +: 32]), .\codebook.copy_1.words[11] (words_1[352 +: 32]),
      .\codebook.copy_1.words[12] (words_1[384 +: 32]), .\codebook.copy_1.words[13] (words_1[416 +: 32]),
      .\codebook.copy_1.words[14] (words_1[448 +: 32]), .\codebook.copy_1.words[15] (words_1[480 +: 32]));

  reg [RING-1:0] bits = 0;
  reg [BITS:0] held = 0;
  wire [3:0] gone = look ? width : 0;
  wire [RING-1:0] beat = write ? data : 0;
  (* anyconst *) reg [3:0] address;
  (* anyconst *) reg n;
  reg known = 0, looked = 0, mask_next = 0, vector_next = 0, mask_shown = 0, vector_shown = 0;
  reg [31:0] codeword, vector_then, vector;
  reg [3:0] mask_then, mask;
  wire [5:0] record = bits >> (n ? size : 0);
  wire [3:0] index = record[5:2] & ~(4'b1111 << index_bits);
`ifdef FALSE_UNPACKING
  wire [1:0] code = one && held > 7 ? 0 : record[1:0];
`else
  wire [1:0] code = record[1:0];
`endif
  wire [31:0] kept = 32'hff << 8 * code;
  always @(posedge clk) begin
    bits <= clear ? 0 : bits >> gone | beat << held - gone;
    held <= clear ? 0 : held + (write ? `BEAT_BITS : 0) - gone;
    if (write_enable && write_address == address) {known, codeword} <= {1'b1, write_data};
    looked <= look;
    if (looked) {mask_shown, vector_shown, mask, vector} <= {mask_next, vector_next, mask_then, vector_then};
    if (look) begin
      mask_next <= !(one && n);
      vector_next <= !(one && n) && known && index == address;
      mask_then <= 4'b0001 << code;
      vector_then <= codeword & kept;
    end
  end
  wire [31:0] found = values >> 32 * n, inside = (n ? words_1 : words_0) >> 32 * address;
  wire [3:0] found_mask = masks >> 4 * n;
  wire [RING-1:0] there = {ring, ring} >> from;
  always @* begin
    assume (index_bits != 0 && index_bits <= 4);
    assume (!write || ready);
    assume (!look || held >= width);
    assume (!(look && write_enable)); // codewords are written in jobs of their own
    assert (done && fill == held && held < RING && used == held);
    assert (bits == (there & ~(~{RING{1'b0}} << held)));
    if (known) assert (inside == codeword);
    if (mask_shown) assert (found_mask == mask);
    if (vector_shown) assert (found == vector);
  end
endmodule
