// Rows of scales and of elements, any column: row k of the PARTS rows of scales brings bits k * BITS up of every column's
// scale, and an element is multiplied by the scale that the rows before it brought, one more than its code. Products show
// in the second cycle after `look` and stay; raw bytes pass. What multiplies is proven apart (scaled_weight.sv).
module scaled_rows (
    input clk, input look, input raw, input [`ROW_BITS-1:0] row, input [1:0] index_bits, input [`PARTS-1:0] scale);
  wire [8*`COLUMNS-1:0] values;
  wire done;
  codeword_row_decoder dut (
      .clk(clk), .rst(1'b0), .look(look), .row(row), .index_bits(index_bits), .raw(raw), .done(done), .scale(scale),
      .values(values));

  (* anyconst *) reg [$clog2(`COLUMNS)-1:0] n;
  reg looked = 0, raw_held = 0, shown = 0, raw_shown = 0;
  reg [`PARTS-1:0] part = 0, known = 0;
  reg [`PARTS*`BITS-1:0] code;
  reg [`ROW_BITS-1:0] held, bytes;
  reg [7:0] product;
  wire [`BITS-1:0] element = held >> n * `BITS;
  wire [7:0] wide = {{8 - `BITS{element[`BITS-1]}}, element};
  integer k;
  always @(posedge clk) begin
    looked <= look;
    part <= look ? scale : 0;
    if (look) {held, raw_held} <= {row, raw};
    for (k = 0; k < `PARTS; k = k + 1)
      if (part[k]) begin
        known[k] <= 1;
`ifdef FALSE_SCALED_ROWS
        code[k*`BITS+:`BITS] <= held >> n * `BITS + (k == `PARTS - 1);
`else
        code[k*`BITS+:`BITS] <= element;
`endif
      end
    if (looked) begin
      {raw_shown, shown} <= {raw_held, !raw_held && &known};
      bytes <= held;
      product <= wide * (code + 1'b1);
    end
  end
  wire [7:0] found = values >> 8 * n;
  always @* begin
    assume (n < `COLUMNS);
    assert (done);
    if (raw_shown) assert (values == bytes);
    if (shown) assert (found == product);
  end
endmodule
