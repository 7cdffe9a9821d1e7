// Compactor: the n-th kept element of the vector is word n, with its position; raw bytes pass in order.
module compactor (input [8*`LENGTH-1:0] values, input [`LENGTH-1:0] mask, input raw, input [`SUB_BITS-1:0] sub,
                  input [$clog2(`LENGTH)-1:0] base);
  localparam COUNT = `LENGTH * `KEEP / `GROUP;
  localparam WORD = 8 + $clog2(`LENGTH);
  wire [COUNT*WORD-1:0] words;
  codeword_compactor dut (.values(values), .mask(mask), .raw(raw), .sub(sub), .base(base), .words(words));

  integer j, n, kept, group;
  reg legal;
  reg [COUNT*WORD-1:0] expected;
  always @* begin
    legal = 1;
    kept = 0;
    expected = 0;
    for (j = 0; j < `LENGTH; j = j + 1) begin
      if (j % `GROUP == 0) group = 0;
      for (n = 0; n < COUNT; n = n + 1)
        if (mask[j] && kept == n) begin
          expected[n*WORD +: 8] = values[8*j +: 8];
          expected[n*WORD + 8 +: WORD - 8] = j;
        end
      kept = kept + mask[j];
      group = group + mask[j];
      if (j % `GROUP == `GROUP - 1 && group != `KEEP) legal = 0;
    end
    if (raw)
      for (n = 0; n < COUNT; n = n + 1) begin
        expected[n*WORD +: 8] = values[8*n +: 8];
        expected[n*WORD + 8 +: WORD - 8] = base + sub * COUNT + n;
      end
`ifdef FALSE_COMPACTOR
    if (words[7:0] == 8'ha5) expected[0] = 0;
`endif
    if (legal || raw) assert (words == expected);
  end
endmodule
