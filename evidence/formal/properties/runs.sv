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
  // The line and the plane at hand, and how many are left with them.
  reg active = 0;
  reg [`WORD_ADDRESS_BITS-1:0] line_count = 0, lines_now = 0, planes_now = 0;
  reg [`ADDRESS_BITS-1:0] step = 0, plane_step = 0, origin = 0, line_bytes = 0;
  wire line_end = lines_now == 1, plane_end = planes_now == 1;
  always @(posedge clk) begin
    if (active && ready) begin
      lines_now <= line_end ? line_count : lines_now - 1;
      line_bytes <= line_end ? 0 : line_bytes + step;
      if (line_end) begin
        planes_now <= planes_now - 1;
`ifdef FALSE_RUNS
        if (planes_now != 2)
`endif
        origin <= origin + plane_step;
        if (plane_end) active <= 0;
      end
    end
    if (load) begin
      active <= 1;
      line_bytes <= 0;
      {line_count, lines_now, planes_now, origin, step, plane_step} <=
          {lines, lines, planes, start, line_stride, plane_stride};
    end
    if (clear) active <= 0;
  end
  always @* begin
    assume (!load || lines != 0 && planes != 0);
    assert (valid == active);
    if (active) assert (address == origin + line_bytes && last == (line_end && plane_end));
  end
endmodule
