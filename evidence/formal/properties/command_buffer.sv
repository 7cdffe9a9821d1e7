// Command buffer: after `start` it asks for `count` words from `base` on, in order, in fetches of at most a burst,
// never for more than it holds; they leave in order and stay until taken. One word, any, is followed.
module command_buffer (
    input clk, input start, input [`ADDRESS_BITS-1:0] base, input [`LENGTH_BITS-1:0] count, input clear, input take,
    input write, input [`WORD_BITS-1:0] write_data, input out_ready, input pick);
  localparam BITS = $clog2(`COMMAND_WORDS + 1) + 1;
  wire wants, out_valid, settled, empty;
  wire [`ADDRESS_BITS-1:0] address;
  wire [$clog2(`COMMAND_BURST+1)-1:0] words;
  wire [`WORD_BITS-1:0] out_data;
  codeword_command_buffer dut (
      .clk(clk), .rst(1'b0), .start(start), .base(base), .count(count), .clear(clear), .wants(wants),
      .address(address), .words(words), .take(take), .write(write), .write_data(write_data), .out_valid(out_valid),
      .out_ready(out_ready), .out_data(out_data), .settled(settled), .empty(empty));
  stream_rules #(`WORD_BITS) rules (clk, clear, out_valid, out_ready, out_data);
  wire [BITS-1:0] held;
  wire leaves = out_valid && out_ready;
  queue_rules #(`WORD_BITS, BITS) order (clk, clear, pick, write, write_data, leaves, out_data, held);
  reg [`LENGTH_BITS-1:0] left = 0;
  reg [`ADDRESS_BITS-1:0] next;
  reg started = 0;
  reg [BITS-1:0] owing = 0;
  wire [`LENGTH_BITS-1:0] taken = take ? words : 0;
  always @(posedge clk) begin
    left <= start ? count : left - taken;
    next <= start ? base : next + 8 * taken;
    owing <= owing + taken - write;
    if (start) started <= 1;
    if (clear) {left, owing, started} <= 0;
  end
  always @* begin
    assume (!take || wants);
    assume (!write || owing != 0);
    // The stream of the start before has left.
    assume (!start || left == 0 && owing == 0 && held == 0 && !take);
    if (wants) assert (left != 0 && started && address == next);
    if (wants) assert (words == (left < `COMMAND_BURST ? left : `COMMAND_BURST));
    assert (held + owing <= `COMMAND_WORDS);
    if (left != 0 && held == 0 && owing == 0) assert (wants);
    if (settled) assert (owing == 0);
    assert (empty == (left == 0 && owing == 0 && held == 0));
  end
endmodule
