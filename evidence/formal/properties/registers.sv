// AXI4-Lite slave: a response for each request and none without, in the cycle after it, which stays as it is until
// taken; a register keeps what was written under its strobes. Status, start, clear and interrupt.
module registers (
    input clk, input [11:0] awaddr, input awvalid, input [31:0] wdata, input [3:0] wstrb, input wvalid, input bready,
    input [11:0] araddr, input arvalid, input rready, input finished, input layer_end, input ports_idle,
    input commands_error, input weights_error, input maps_read_error, input maps_write_error);
  wire awready, wready, bvalid, arready, rvalid, start, clear, stop, busy, irq;
  wire [1:0] bresp, rresp;
  wire [31:0] rdata;
  wire [15:0] layer_count;
  codeword_registers dut (
      .clk(clk), .rst(1'b0), .awaddr(awaddr), .awprot(3'b0), .awvalid(awvalid), .awready(awready), .wdata(wdata),
      .wstrb(wstrb), .wvalid(wvalid), .wready(wready), .bresp(bresp), .bvalid(bvalid), .bready(bready),
      .araddr(araddr), .arprot(3'b0), .arvalid(arvalid), .arready(arready), .rdata(rdata), .rresp(rresp),
      .rvalid(rvalid), .rready(rready), .layer_count(layer_count), .start(start), .clear(clear), .stop(stop),
      .busy(busy), .irq(irq), .finished(finished), .layer_end(layer_end), .ports_idle(ports_idle),
      .commands_error(commands_error), .weights_error(weights_error), .maps_read_error(maps_read_error),
      .maps_write_error(maps_write_error));
  stream_rules #(2) b_rules (clk, 1'b0, bvalid, bready, bresp);
  stream_rules #(34) r_rules (clk, 1'b0, rvalid, rready, {rdata, rresp});
  wire writes = awvalid && awready, reads = arvalid && arready;
  wire any_error = commands_error || weights_error || maps_read_error || maps_write_error;
  // Responses that are owed.
  reg b_owed = 0, r_owed = 0;
  // A register of the table that software writes: base and count of the four streams, or the number of layers.
  (* anyconst *) reg [3:0] which;
  wire [11:0] place = which[3] ? 12'h030 : 12'h040 + 4 * which;
  reg [31:0] value = 0, expected;
  reg compares = 0, compares_status = 0;
  // Control and status.
  reg run = 0, clearing = 0, done = 0, error = 0, pending = 0, enabled = 0;
  reg [9:0] status;
  wire control = writes && awaddr[11:2] == 12'h020 >> 2 && wstrb[0];
  wire starts = control && wdata[0] && !wdata[1] && !run && !clearing && !error, clears = control && wdata[1];
  wire acknowledges = writes && awaddr[11:2] == 12'h024 >> 2 && wstrb[1] && wdata[8];
  wire fails = any_error && !error;
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
      status <= {1'b0, pending, 5'b0, error, done, run || clearing};
    end
    if (control) enabled <= wdata[2];
    run <= starts || run && !finished && !fails && !clears;
    clearing <= clears || clearing && !ports_idle;
    done <= !clears && !starts && (done || run && finished);
    error <= !clears && (error || any_error);
    pending <= !clears && !starts && (run && finished || fails || pending && !acknowledges);
  end
  always @* begin
    assert (bvalid == b_owed && rvalid == r_owed);
    assert (awready == wready);
    if (awready) assert (awvalid && wvalid && (!bvalid || bready));
    if (awvalid && wvalid && !bvalid) assert (awready);
    if (arvalid && !rvalid) assert (arready);
    if (compares) assert (rdata == (which[3] ? expected & 32'hffff : expected) && rresp == 0);
    if (compares_status) assert ({rdata[9:8], rdata[3:0]} == {status[9:8], 1'b0, status[2:0]} && rresp == 0);
    assert (busy == (run || clearing));
    assert (start == starts && clear == clears);
    if (busy) assert (!start);
    assert (stop == error);
    assert (irq == (enabled && pending));
  end
endmodule
