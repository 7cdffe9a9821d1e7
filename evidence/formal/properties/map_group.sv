// Map group: a read shows at each place the byte last written at its word, whichever place wrote it, and keeps it
// until the next read. One byte of one word, any.
module map_group (
    input clk, input [`BANKS*`WORD_BYTES-1:0] write_enable, input [`WORD_ADDRESS_BITS-1:0] write_word,
    input [8*`BANKS*`WORD_BYTES-1:0] write_data, input read_enable, input [`WORD_ADDRESS_BITS-1:0] read_word);
  localparam BYTES = `BANKS * `WORD_BYTES;
  wire [8*BYTES-1:0] read_data;
  codeword_map_group_8x4 dut (
      .clk(clk), .rst(1'b0), .write_enable(write_enable), .write_word(write_word), .write_data(write_data),
      .read_enable(read_enable), .read_word(read_word), .read_data(read_data));
  (* anyconst *) reg [`WORD_ADDRESS_BITS-1:0] word;
  (* anyconst *) reg [$clog2(`WORD_BYTES)-1:0] lane;
  wire [`WORD_ADDRESS_BITS-1:0] into = word - write_word, from = word - read_word;
  wire [$clog2(BYTES)-1:0] written = into * `WORD_BYTES + lane, read = from * `WORD_BYTES + lane;
  wire hit = word >= write_word && into < `BANKS && write_enable[written];
  reg known = 0, shows = 0;
  reg [7:0] value, expected;
  reg [$clog2(BYTES)-1:0] at;
  always @(posedge clk) begin
    if (hit) begin
      known <= 1;
      value <= write_data >> 8 * written;
    end
    if (read_enable) begin
      // Nobody reads the word that is written in the same cycle.
`ifdef FALSE_MAP_GROUP
      shows <= known && word >= read_word && from < `BANKS;
      expected <= hit ? write_data >> 8 * written : value;
`else
      shows <= known && word >= read_word && from < `BANKS && !hit;
      expected <= value;
`endif
      at <= read;
    end
  end
  wire [7:0] shown = read_data >> 8 * at;
  always @* begin
    // Words beyond the group are not written.
    assume (write_word < `WORDS && word < `WORDS);
    assume (write_word + `BANKS <= `WORDS || write_enable >> (`WORDS - write_word) * `WORD_BYTES == 0);
    if (shows) assert (shown == expected);
  end
endmodule
