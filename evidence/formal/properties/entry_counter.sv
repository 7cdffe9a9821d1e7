// Entry counter: entry ((q B + r) U + k) A + s of a chunk is that of q, r, k, s; after A B U D steps it starts over.
// One entry, any.
module entry_counter (input clk, input step);
  (* anyconst *) reg [$clog2(`DEPTH):0] a, b, u, d;
  wire [$clog2(`DEPTH):0] entry, sub, word;
  wire vector, first, last, group_tail, column_tail, complete;
  codeword_entry_counter dut (
      .clk(clk), .rst(1'b0), .step(step), .a(a), .b(b), .u(u), .d(d), .entry(entry), .sub(sub), .word(word),
      .vector(vector), .first(first), .last(last), .group_tail(group_tail), .column_tail(column_tail),
      .complete(complete));
  // Eight bits hold every product of two that are at most 8.
  wire [7:0] ab = a * b, abu = ab * u, size = abu * d;
  reg [$clog2(`DEPTH):0] e = 0;
`ifdef FALSE_ENTRY_COUNTER
  always @(posedge clk) if (step) e <= e + 1 == size && u != 2 ? 0 : e + 1;
`else
  always @(posedge clk) if (step) e <= e + 1 == size ? 0 : e + 1;
`endif
  (* anyconst *) reg [$clog2(`DEPTH):0] q, r, k, s;
  wire [7:0] number = ((q * b + r) * u + k) * a + s;
  always @* begin
    assume (a >= 1 && b >= 1 && u >= 1 && d >= 1 && a <= `DEPTH && b <= `DEPTH && u <= `DEPTH && d <= `DEPTH);
    assume (ab <= `DEPTH && abu <= `DEPTH && size <= `DEPTH);
    assume (q < d && r < b && k < u && s < a);
    assert (entry == e);
    if (e == number) begin
      assert (word == s && sub == k);
      assert (vector == (k == 0 && s == 0));
      assert (first == (q == 0 && r == 0 && k == 0));
      assert (last == (q == d - 1 && r == b - 1 && k == u - 1));
      assert (group_tail == (r == b - 1));
      assert (column_tail == (s == a - 1));
      assert (complete == (number == size - 1));
    end
  end
endmodule
