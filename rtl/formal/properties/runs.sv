// Runs: after `load` lines * planes addresses, `line_stride` apart within a plane, planes `plane_stride` apart; each
// stays until taken, `last` comes with the last one.
module runs (
    input clk, input load, input clear, input [`ADDRESS_BITS-1:0] start, input [`ADDRESS_BITS-1:0] line_stride,
    input [`ADDRESS_BITS-1:0] plane_stride, input [`WORD_ADDRESS_BITS-1:0] lines,
    input [`WORD_ADDRESS_BITS-1:0] planes, input ready);
  wire valid, last;
  wire [`ADDRESS_BITS-1:0] address;
  codeword_runs dut (
      .clk(clk), .rst(1'b0), .load(load), .clear(clear), .start(start), .lines(lines), .line_stride(line_stride),
      .planes(planes), .plane_stride(plane_stride), .valid(valid), .ready(ready), .address(address), .last(last));
  stream_rules #(`ADDRESS_BITS + 1) rules (clk, clear || load, valid, ready, {last, address});
  // What is left, counted from the load.
  reg active = 0;
  reg [`WORD_ADDRESS_BITS-1:0] line, plane, line_count, plane_count;
  reg [`ADDRESS_BITS-1:0] origin, step, plane_step, line_bytes, plane_bytes;
  wire line_end = line == line_count - 1, plane_end = plane == plane_count - 1;
  always @(posedge clk) begin
    if (active && ready) begin
      line <= line_end ? 0 : line + 1;
      line_bytes <= line_end ? 0 : line_bytes + step;
      if (line_end) begin
        plane <= plane + 1;
        plane_bytes <= plane_bytes + plane_step;
`ifdef FALSE_TWIN
        if (plane == 2) plane_bytes <= plane_bytes;
`endif
        if (plane_end) active <= 0;
      end
    end
    if (load) begin
      active <= 1;
      {line, plane, line_bytes, plane_bytes} <= 0;
      {line_count, plane_count, origin, step, plane_step} <= {lines, planes, start, line_stride, plane_stride};
    end
    if (clear) active <= 0;
  end
  always @* begin
    assume (!load || lines != 0 && planes != 0);
    assert (valid == active);
    if (active) assert (address == origin + line_bytes + plane_bytes && last == (line_end && plane_end));
  end
endmodule
