// AXI4-Lite slave: a response for each request and none without, in the cycle after it, which stays as it is until
// taken; a register keeps what was written under its strobes. Status, start, clear and interrupt.
module registers (
    input clk, input [11:0] awaddr, input awvalid, input [31:0] wdata, input [3:0] wstrb, input wvalid, input bready,
    input [11:0] araddr, input arvalid, input rready, input finished, input layer_end, input ports_idle,
    input [3:0] errors, input [3:0] refused, input left, input expired, input overflow);
  wire awready, wready, bvalid, arready, rvalid, start, clear, stop, busy, irq, watches;
  wire [1:0] bresp, rresp;
  wire [31:0] rdata;
  wire [15:0] layer_count;
  codeword_registers dut (
      .clk(clk), .rst(1'b0), .awaddr(awaddr), .awprot(3'b0), .awvalid(awvalid), .awready(awready), .wdata(wdata),
      .wstrb(wstrb), .wvalid(wvalid), .wready(wready), .bresp(bresp), .bvalid(bvalid), .bready(bready),
      .araddr(araddr), .arprot(3'b0), .arvalid(arvalid), .arready(arready), .rdata(rdata), .rresp(rresp),
      .rvalid(rvalid), .rready(rready), .layer_count(layer_count), .start(start), .clear(clear), .stop(stop),
      .busy(busy), .irq(irq), .finished(finished), .layer_end(layer_end), .ports_idle(ports_idle), .watches(watches),
      .left(left), .expired(expired), .overflow(overflow), .commands_error(errors[0]), .weights_error(errors[1]),
      .maps_read_error(errors[2]), .maps_write_error(errors[3]), .commands_refused(refused[0]),
      .weights_refused(refused[1]), .maps_read_refused(refused[2]), .maps_write_refused(refused[3]));
  stream_rules #(2) b_rules (clk, 1'b0, bvalid, bready, bresp);
  stream_rules #(34) r_rules (clk, 1'b0, rvalid, rready, {rdata, rresp});
  wire writes = awvalid && awready, reads = arvalid && arready;
  // Responses that are owed.
  reg b_owed = 0, r_owed = 0;
  // A register of the table that software writes: of the streams, of the windows, or the number of layers.
  (* anyconst *) reg [4:0] which;
  wire [11:0] place = which < 20 ? 12'h040 + 4 * which : 12'h030;
  reg [31:0] value = 0, expected;
  reg compares = 0, compares_status = 0;
  // Control and status.
  reg run = 0, clearing = 0, starting = 0, done = 0, error = 0, pending = 0, enabled = 0;
  reg [3:0] code = 0;
  reg [15:0] status;
  wire control = writes && awaddr[11:2] == 12'h020 >> 2 && wstrb[0];
  wire clears = control && wdata[1], begins = control && wdata[0] && !wdata[1] && !run && !clearing;
  wire acknowledges = writes && awaddr[11:2] == 12'h024 >> 2 && wstrb[1] && wdata[8];
  // The registers that a start checks, as software has written them: bases of streams, windows.
  reg [31:0] held [0:19];
  integer n;
  initial for (n = 0; n < 20; n = n + 1) held[n] = 0;
  function misplaced(input [63:0] base, input [63:0] size);
    misplaced = base[11:0] != 0 || size[11:0] != 0 || {1'b0, base} + size > 65'h1_0000_0000;
  endfunction
  wire wrong = misplaced({held[9], held[8]}, {held[11], held[10]}) || misplaced({held[13], held[12]}, {held[15], held[14]})
    || misplaced({held[17], held[16]}, {held[19], held[18]})
    || ((held[0] | held[2] | held[4] | held[6]) & 7) != 0;
  wire ready = clearing && ports_idle && !clears;
  wire [3:0] alarms = errors | refused, first = alarms & -alarms;
  wire [3:0] finds = ready && starting && wrong ? 3 : first & refused ? 2 : alarms ? 1
    : overflow && (run || clearing) ? 6 : expired ? 5 : finished && left && (run || clearing) ? 4 : 0;
  wire fails = finds != 0 && !error;
  always @(posedge clk) begin
    b_owed <= b_owed && !bready || writes;
    r_owed <= r_owed && !rready || reads;
    if (writes && awaddr[11:2] == place[11:2]) begin
      if (wstrb[0]) value[7:0] <= wdata[7:0];
      if (wstrb[1]) value[15:8] <= wdata[15:8];
      if (wstrb[2]) value[23:16] <= wdata[23:16];
`ifdef FALSE_REGISTERS
      if (wstrb[3] || wdata == 32'hc0dec0de) value[31:24] <= wdata[31:24];
`else
      if (wstrb[3]) value[31:24] <= wdata[31:24];
`endif
    end
    if (reads || rready) {compares, compares_status} <= 0;
    if (reads) begin
      compares <= araddr[11:2] == place[11:2];
      compares_status <= araddr[11:2] == 12'h024 >> 2;
      expected <= value;
      status <= {code, 3'b0, pending, 5'b0, error, done, run || clearing};
    end
    for (n = 0; n < 4; n = n + 1)
      if (writes && wstrb[n] && awaddr[11:2] >= 16 && awaddr[11:2] < 36) held[awaddr[11:2] - 16][8*n +: 8] <= wdata[8*n +: 8];
    if (control) enabled <= wdata[2];
    if (ready) {clearing, starting} <= 0;
    if (acknowledges) pending <= 0;
    if (ready && starting && !fails) run <= 1;
    if (run && finished) {run, done, pending} <= {1'b0, !fails, 1'b1};
    if (fails) {run, clearing, starting, error, pending, code} <= {5'b00011, finds};
    if (clears || begins) {run, clearing, starting, done, error, pending, code} <= {2'b01, begins, 7'd0};
  end
  always @* begin
    assert (bvalid == b_owed && rvalid == r_owed);
    assert (awready == wready);
    if (awready) assert (awvalid && wvalid && (!bvalid || bready));
    if (awvalid && wvalid && !bvalid) assert (awready);
    if (arvalid && !rvalid) assert (arready);
    if (compares) assert (rdata == (which < 20 ? expected : expected & 32'hffff) && rresp == 0);
    if (compares_status) assert ((rdata & 16'hff0f) == status && rresp == 0);
    assert (busy == (run || clearing));
    assert (start == (ready && starting && !fails) && clear == (clears || begins));
    assert (watches == (busy && !clear));
    assert (stop == error);
    assert (irq == (enabled && pending));
  end
endmodule
