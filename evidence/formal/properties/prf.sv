// PRF: a word takes sums plus itself, or plus the stored psum or 0 with `first`; `row` shows the word last
// accumulated. One column of one word, any.
module prf (
    input clk, input valid, input [1:0] word, input first, input use_stored, input [63:0] stored,
    input [11:0] sums);
  wire [63:0] row;
  codeword_prf dut (.clk(clk), .rst(1'b0), .valid(valid), .word(word), .first(first), .use_stored(use_stored),
                    .stored(stored), .sums(sums), .row(row));
  (* anyconst *) reg [1:0] address;
  (* anyconst *) reg column;
  wire [31:0] shown = column ? row[63:32] : row[31:0];
  wire [31:0] begins = !use_stored ? 0 : column ? stored[63:32] : stored[31:0];
  wire [5:0] sum = column ? sums[11:6] : sums[5:0];
  reg known = 0, last = 0;
  reg [31:0] psum;
  always @(posedge clk)
    if (valid) begin
      last <= word == address;
      if (word == address) begin
        known <= known || first;
`ifdef FALSE_PRF
        psum <= (first ? begins : psum) + {26'b0, sum};
`else
        psum <= (first ? begins : psum) + {{26{sum[5]}}, sum};
`endif
      end
    end
  always @* if (last && known) assert (shown == psum);
endmodule
