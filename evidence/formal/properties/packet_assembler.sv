// Packet assembler: packets of three words in order, the first one lowest, none lost or doubled. One word of one
// packet, any, is followed; `before` packets leave before it.
module packet_assembler (
    input clk, input clear, input in_valid, input [`WORD_BITS-1:0] in_data, input out_ready, input pick);
  wire in_ready, out_valid, empty;
  wire [3*`WORD_BITS-1:0] out_data;
  codeword_packet_assembler_3 dut (
      .clk(clk), .rst(1'b0), .clear(clear), .in_valid(in_valid), .in_ready(in_ready), .in_data(in_data),
      .out_valid(out_valid), .out_ready(out_ready), .out_data(out_data), .empty(empty));
  stream_rules #(3*`WORD_BITS) rules (clk, clear, out_valid, out_ready, out_data);
  wire enters = in_valid && in_ready, leaves = out_valid && out_ready;
  reg [1:0] number = 0, place;
  reg [`WORD_BITS-1:0] word;
  reg followed = 0;
  // Packets whose last word has entered and which have not left.
  reg [1:0] waiting = 0, before;
  always @(posedge clk) begin
    waiting <= waiting - leaves + (enters && number == 2);
    if (enters) number <= number == 2 ? 0 : number + 1;
    if (followed && leaves) begin
      before <= before - 1;
      if (before == 0) followed <= 0;
    end
    if (enters && pick && !followed) begin
      followed <= 1;
      place <= number;
      word <= in_data;
      before <= waiting - leaves;
    end
    if (clear) begin
      followed <= 0;
      number <= 0;
      waiting <= 0;
    end
  end
  wire [`WORD_BITS-1:0] shown = out_data >> place * `WORD_BITS;
  always @* begin
    assert (waiting <= 2 && out_valid == (waiting != 0));
    assert (empty == (waiting == 0 && number == 0));
    assert (in_ready == (waiting != 2));
`ifdef FALSE_PACKET_ASSEMBLER
    if (followed && out_valid) assert (shown == word);
`else
    if (followed && out_valid && before == 0) assert (shown == word);
`endif
  end
endmodule
