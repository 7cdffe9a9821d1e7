// Watchdog: says so in the cycle behind the `limit`th without progress, and in no other. Whoever is told stops watching.
module watchdog (input clk, input watches, input progress);
  (* anyconst *) reg [`LIMIT_BITS-1:0] limit;
  wire expired;
  codeword_watchdog dut (
      .clk(clk), .rst(1'b0), .watches(watches), .progress(progress), .limit(limit), .expired(expired));
  reg [`LIMIT_BITS:0] before = 0; // cycles without progress so far
  reg due = 0, told = 0;
  always @(posedge clk) begin
    before <= watches && !progress ? before + 1 : 0;
    told <= expired;
`ifdef FALSE_WATCHDOG
    due <= watches && !progress && before >= limit && limit != 0;
`else
    due <= watches && !progress && before + 1 >= limit && limit != 0;
`endif
  end
  always @* begin
    assume (!told || !watches);
    assume (limit != 0 || before < 3);
    assert (expired == (due && !told));
  end
endmodule
