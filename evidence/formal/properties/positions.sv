// Cascade of position finders against its definition: element j of the mask is the n-th kept one if n kept
// elements lie below it. All masks, also those with more or fewer than KEEP elements.
module positions (input [`GROUP-1:0] mask);
  localparam BITS = $clog2(`GROUP) > 0 ? $clog2(`GROUP) : 1;
  wire [`KEEP*`GROUP-1:0] onehots;
  wire [`KEEP*BITS-1:0] positions;
  wire [`GROUP-1:0] rest;
  codeword_positions dut (.mask(mask), .onehots(onehots), .positions(positions), .rest(rest));

  integer j, n, below;
  reg [`KEEP*`GROUP-1:0] expected;
  reg [`KEEP*BITS-1:0] numbers;
  reg [`GROUP-1:0] left;
  always @* begin
    expected = 0;
    numbers = 0;
    left = 0;
    for (j = 0; j < `GROUP; j = j + 1) begin
      below = 0;
      for (n = 0; n < j; n = n + 1) below = below + mask[n];
`ifdef FALSE_POSITIONS
      below = below + (j == `GROUP - 1);
`endif
      for (n = 0; n < `KEEP; n = n + 1)
        if (mask[j] && below == n) begin
          expected[n*`GROUP + j] = 1;
          numbers[n*BITS +: BITS] = j;
        end
      if (mask[j] && below >= `KEEP) left[j] = 1;
    end
    assert (onehots == expected);
    assert (positions == numbers);
    assert (rest == left);
  end
endmodule
