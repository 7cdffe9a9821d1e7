// Entry counter: in step e of a chunk, s = e mod A, u = e/A mod U, r = e/(A U) mod B, q = e/(A U B); after A B U D
// steps it starts over.
module entry_counter (input clk, input step);
  (* anyconst *) reg [3:0] a, b, u, d;
  wire [3:0] entry, sub, word;
  wire vector, first, last, group_tail, column_tail, complete;
  codeword_entry_counter dut (
      .clk(clk), .rst(1'b0), .step(step), .a(a), .b(b), .u(u), .d(d), .entry(entry), .sub(sub), .word(word),
      .vector(vector), .first(first), .last(last), .group_tail(group_tail), .column_tail(column_tail),
      .complete(complete));
  wire [15:0] size = a * b * u * d;
  reg [3:0] e = 0;
`ifdef FALSE_TWIN
  always @(posedge clk) if (step) e <= e + 1 == size && u != 2 ? 0 : e + 1;
`else
  always @(posedge clk) if (step) e <= e + 1 == size ? 0 : e + 1;
`endif
  wire [3:0] group = e / (a * u) % b;
  always @* begin
    assume (a >= 1 && b >= 1 && u >= 1 && d >= 1 && size <= 8);
    assert (entry == e);
    assert (word == e % a);
    assert (sub == e / a % u);
    assert (vector == (e % (a * u) == 0));
    assert (first == (e < a));
    assert (last == (e >= size - a));
    assert (group_tail == (group == b - 1));
    assert (column_tail == (e % a == a - 1));
    assert (complete == (e == size - 1));
  end
endmodule
