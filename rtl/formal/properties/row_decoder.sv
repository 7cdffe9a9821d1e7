// Row decoder: record n lies behind n records of code and index; its vector is the codeword last written there,
// with pruned bytes 0. One record, one codeword, one 1:4 mask, any of them.
module row_decoder (
    input clk, input [`ROW_BITS-1:0] row, input [2:0] index_bits, input raw, input write_enable,
    input [3:0] write_address, input [31:0] write_data, input [1:0] any_code);
  wire [8*`RECORDS*4-1:0] values;
  wire [`RECORDS*4-1:0] masks;
  codeword_row_decoder dut (
      .clk(clk), .rst(1'b0), .row(row), .index_bits(index_bits), .raw(raw), .write_enable(write_enable),
      .write_address(write_address), .write_data(write_data), .values(values), .masks(masks));

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
  wire [31:0] vector = values >> 32 * n;
  wire [3:0] mask = masks >> 4 * n;
  integer j;
  always @* begin
    assume (n < `RECORDS && index_bits >= 1 && index_bits <= 4);
    if (raw) assert (values == row[8*`RECORDS*4-1:0]);
    else begin
      // The k-th of the masks with one element of four.
      assert (mask == 4'b0001 << code);
`ifdef FALSE_TWIN
      if (known && index == address && index_bits != 3) assert (vector == codeword);
`else
      if (known && index == address)
        for (j = 0; j < 4; j = j + 1) assert (vector[8*j +: 8] == (code == j ? codeword[8*j +: 8] : 8'h00));
`endif
    end
  end
endmodule
