// What a queue of DEPTH words holds: `held` words from `head` on, and the word that queue_rules follow among them.
module queue_lemma #(parameter WIDTH = 1, DEPTH = 2, BITS = 4) (
    input [DEPTH*WIDTH-1:0] storage, input [$clog2(DEPTH)-1:0] head, input [$clog2(DEPTH+1)-1:0] level,
    input [BITS-1:0] held, input followed, input [BITS-1:0] ahead, input [WIDTH-1:0] word);
  wire [$clog2(DEPTH)-1:0] place = head + ahead;
  wire [WIDTH-1:0] there = storage >> WIDTH * place;
  always @* begin
    assert (level == held && held <= DEPTH);
    if (followed) assert (ahead < held && there == word);
  end
endmodule
