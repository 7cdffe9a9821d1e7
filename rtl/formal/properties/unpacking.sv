// Beat buffer and row decoder, connected as in the loader: record m of the stream of bits is record m of what is
// decoded, wherever it lies in beats and rows. Against a plain shift register of all bits that wait; one record of each
// row, one codeword, any of them. A row holds one or two records.
module unpacking (
    input clk, input clear, input write, input [3:0] data, input look, input one, input write_enable,
    input [3:0] write_address, input [31:0] write_data);
  localparam RECORDS = 2;
  wire ready, done;
  wire [5:0] fill;
  wire [11:0] row;
  wire [63:0] values;
  wire [7:0] masks;
  wire [2:0] index_bits = `INDEX_BITS;
  wire [3:0] size = 2 + index_bits, width = one ? size : RECORDS * size;
  codeword_beat_buffer buffer (
      .clk(clk), .rst(1'b0), .clear(clear), .write(write), .data(data), .ready(ready), .fill(fill), .row(row),
      .consume(look), .width(width));
  codeword_row_decoder decoder (
      .clk(clk), .rst(1'b0), .look(look), .row({52'd0, row}), .index_bits(index_bits), .raw(1'b0), .done(done),
      .write_enable(write_enable), .write_address(write_address), .write_data(write_data), .values(values),
      .masks(masks));

  reg [31:0] bits = 0;
  reg [5:0] held = 0;
  wire [3:0] gone = look ? width : 0;
  (* anyconst *) reg [3:0] address;
  (* anyconst *) reg n;
  reg known = 0, mask_shown = 0, vector_shown = 0;
  reg [31:0] codeword, vector;
  reg [3:0] mask;
  wire [5:0] record = bits >> (n ? size : 0);
  wire [3:0] index = record[5:2] & ~(4'b1111 << index_bits);
`ifdef FALSE_TWIN
  wire [1:0] code = one && held > 9 ? 0 : record[1:0];
`else
  wire [1:0] code = record[1:0];
`endif
  wire [31:0] kept = 32'hff << 8 * code;
  always @(posedge clk) begin
    bits <= clear ? 0 : bits >> gone | (write ? {28'd0, data} << held - gone : 0);
    held <= clear ? 0 : held + (write ? 4 : 0) - gone;
    if (write_enable && write_address == address) {known, codeword} <= {1'b1, write_data};
    if (look) begin
      mask_shown <= !(one && n);
      vector_shown <= !(one && n) && known && index == address;
      mask <= 4'b0001 << code;
      vector <= codeword & kept;
    end
  end
  wire [31:0] found = values >> 32 * n;
  wire [3:0] found_mask = masks >> 4 * n;
  always @* begin
    assume (!write || ready);
    assume (!look || held >= width);
    assert (done && fill == held);
    if (mask_shown) assert (found_mask == mask);
    if (vector_shown) assert (found == vector);
  end
endmodule
