// Row decoder: record n lies behind n records of code and index; its vector is the codeword last written there,
// with pruned bytes 0. One record, one codeword, one 1:4 mask, any of them; they show in the second cycle after
// `look` and stay. Nothing is written while a codeword is looked up.
module row_decoder (
    input clk, input look, input [`ROW_BITS-1:0] row, input [2:0] index_bits, input raw, input write_enable,
    input [3:0] write_address, input [31:0] write_data);
  wire [8*`RECORDS*4-1:0] values;
  wire [`RECORDS*4-1:0] masks;
  wire done;
  codeword_row_decoder dut (
      .clk(clk), .rst(1'b0), .look(look), .row(row), .index_bits(index_bits), .raw(raw), .done(done),
      .write_enable(write_enable), .write_address(write_address), .write_data(write_data), .values(values),
      .masks(masks));

  (* anyconst *) reg [3:0] address;
  (* anyconst *) reg [$clog2(`RECORDS+1)-1:0] n;
  reg known = 0;
  reg [31:0] codeword;
  always @(posedge clk)
    if (write_enable && write_address == address) begin
      known <= 1;
      codeword <= write_data;
    end

  wire [`ROW_BITS-1:0] record = row >> n * (2 + index_bits);
  wire [1:0] code = record[1:0];
  wire [3:0] index = record[5:2] & ~(4'b1111 << index_bits);
  wire [7:0] kept = 8'hff;
  // What the decoder must show: raw bytes, the mask, the vector.
  reg raw_next = 0, mask_next = 0, vector_next = 0, looked = 0;
  reg raw_shown = 0, mask_shown = 0, vector_shown = 0;
  reg [8*`RECORDS*4-1:0] bytes_next, bytes;
  reg [3:0] mask_next_value, mask;
  reg [31:0] vector_next_value, vector;
  always @(posedge clk) begin
    looked <= look;
    if (looked) begin
      {raw_shown, mask_shown, vector_shown} <= {raw_next, mask_next, vector_next};
      bytes <= bytes_next;
      mask <= mask_next_value;
      vector <= vector_next_value;
    end
    if (look) begin
      raw_next <= raw;
      mask_next <= !raw;
      vector_next <= !raw && known && index == address;
      bytes_next <= row;
      mask_next_value <= 4'b0001 << code; // the masks with one element of four, in order
`ifdef FALSE_ROW_DECODER
      vector_next_value <= codeword & {24'h0, kept} << (index_bits == 3 ? 0 : 8 * code);
`else
      vector_next_value <= codeword & {24'h0, kept} << 8 * code;
`endif
    end
  end
  wire [31:0] found = values >> 32 * n;
  wire [3:0] found_mask = masks >> 4 * n;
  always @* begin
    assume (n < `RECORDS && index_bits >= 1 && index_bits <= 4 && !(write_enable && look && !raw));
    assert (done);
    if (raw_shown) assert (values == bytes);
    if (mask_shown) assert (found_mask == mask);
    if (vector_shown) assert (found == vector);
  end
endmodule
