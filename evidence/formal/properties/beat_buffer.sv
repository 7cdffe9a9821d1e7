// Beat buffer: no bit is lost, doubled or overtaken. One bit of one beat, any, is followed: `ahead` bits lie before it.
// While it is in sight, `row` shows it exactly there.
module beat_buffer (
    input clk, input clear, input write, input [3:0] data, input consume, input [2:0] width, input pick,
    input [1:0] bit_number);
  wire ready;
  wire [4:0] fill;
  wire [4:0] row;
  codeword_beat_buffer dut (.clk(clk), .rst(1'b0), .clear(clear), .write(write), .data(data), .ready(ready),
                            .fill(fill), .row(row), .consume(consume), .width(width));
  reg [4:0] held = 0;
  reg [4:0] ahead;
  reg followed = 0, value;
  wire [2:0] taken = consume ? width : 0;
  always @(posedge clk) begin
    held <= clear ? 0 : held + (write ? 4 : 0) - taken;
    if (!followed && write && pick) begin
      followed <= 1;
      ahead <= held - taken + bit_number;
      value <= data[bit_number];
    end
    if (followed) begin
      ahead <= ahead - taken;
      if (ahead < taken) followed <= 0;
    end
    if (clear) followed <= 0;
  end
`ifdef FALSE_BEAT_BUFFER
  wire [4:0] place = ahead == 3 ? 2 : ahead;
`else
  wire [4:0] place = ahead;
`endif
  always @* begin
    assume (!write || ready);
    assume (width <= 5 && taken <= held);
    assert (fill == held);
    if (held <= 8) assert (ready);
    if (followed && place < 5) assert (row[place] == value);
  end
endmodule
