// Data of an AXI4 master's write bursts: no beat before its burst, WLAST with the last beat; it is told of no response
// before burst and data are out. One burst, any, is followed: `ahead` bursts go before it.
module write_rules (
    input clk, input awvalid, input awready, input [7:0] awlen, input wvalid, input wready, input wlast, input bvalid,
    input bready, input pick, output begins, output w_ends, output reg aw_waits, output reg followed,
    output reg [6:0] owing, output reg [6:0] ahead, output reg [6:0] written, output reg [6:0] taken,
    output reg [7:0] length, output reg [7:0] sent);
  initial {aw_waits, followed, owing, written, taken, sent} = 0;
  wire w = wvalid && wready, b = bvalid && bready;
  assign begins = awvalid && !aw_waits;
  assign w_ends = w && wlast;
  always @(posedge clk) begin
    aw_waits <= awvalid && !awready;
    // Bursts whose beats are not all out.
    owing <= owing + begins - w_ends;
    taken <= taken + (awvalid && awready) - b;
    written <= written + w_ends - b;
    if (w) sent <= wlast ? 0 : sent + 1;
    if (followed && w_ends) begin
      ahead <= ahead - 1;
      if (ahead == 0) followed <= 0;
    end
    if (begins && pick && !followed) begin
      followed <= 1;
      ahead <= owing - w_ends;
      length <= awlen;
    end
  end
`ifdef FALSE_WRITE_RULES
  wire [7:0] last = length - (length != 0);
`else
  wire [7:0] last = length;
`endif
  always @* begin
    assume (!bvalid || written != 0 && taken != 0);
    if (wvalid) assert (owing != 0);
    if (followed && ahead == 0 && wvalid) assert (wlast == (sent == last));
  end
endmodule
