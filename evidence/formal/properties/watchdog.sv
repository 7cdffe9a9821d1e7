// Watchdog: says so in the cycle that is the `limit`th without progress, and in no other. Whoever is told stops watching.
module watchdog (input clk, input watches, input progress);
  (* anyconst *) reg [`LIMIT_BITS-1:0] limit;
  wire expired;
  codeword_watchdog dut (
      .clk(clk), .rst(1'b0), .watches(watches), .progress(progress), .limit(limit), .expired(expired));
  reg [`LIMIT_BITS:0] before = 0; // cycles without progress so far
  reg told = 0;
  always @(posedge clk) begin
    before <= watches && !progress ? before + 1 : 0;
    told <= expired;
  end
  always @* begin
    assume (!told || !watches);
    assume (limit != 0 || before < 3);
`ifdef FALSE_WATCHDOG
    assert (expired == (watches && !progress && before >= limit && limit != 0));
`else
    assert (expired == (watches && !progress && before + 1 >= limit && limit != 0));
`endif
  end
endmodule
