// Mask decoder against the combinatorial number system: the code of a mask with elements p_0 < p_1 < ... is
// sum C(p_i, i+1). That is a one-to-one map of the masks with KEEP elements to 0 .. C(GROUP, KEEP) - 1.
module mask_decoder (input [`GROUP-1:0] mask, input [`CODE_BITS-1:0] any_code);
  function integer choose(input integer n, input integer k);
    integer i;
    begin
      choose = k > n ? 0 : 1;
      if (k <= n) for (i = 0; i < k; i = i + 1) choose = choose * (n - i) / (i + 1);
    end
  endfunction

  reg [15:0] code;
  integer j, n, kept;
  always @* begin
    code = 0;
    kept = 0;
    for (j = 0; j < `GROUP; j = j + 1) begin
      for (n = 0; n < `KEEP; n = n + 1) if (mask[j] && kept == n) code = code + choose(j, n + 1);
      kept = kept + mask[j];
    end
  end

  wire [`GROUP-1:0] found, other;
  codeword_mask_decoder dut (.code(code[`CODE_BITS-1:0]), .mask(found));
  codeword_mask_decoder any (.code(any_code), .mask(other));
  always @* begin
`ifdef FALSE_MASK_DECODER
    if (kept == `KEEP) assert (found == mask && mask != {`KEEP{1'b1}} << 1);
`else
    if (kept == `KEEP) assert (found == mask && code < choose(`GROUP, `KEEP));
    if (any_code >= choose(`GROUP, `KEEP)) assert (other == 0);
`endif
  end
endmodule
