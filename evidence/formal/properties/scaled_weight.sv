// An element and its scale against the table of docs/network.md section 4, by repeated addition and halving, and in
// INT8 for every legal scale. Element and scale have BITS and SCALE_BITS; RULE 0 multiplies integers of two's complement,
// 1 twice E2M1, 2 shifts twice E2M1 left, 3 shifts INT8 right. LOWEST is the scale of code 0, CODES are legal.
module scaled_weight (input [`BITS-1:0] element, input [`SCALE_BITS-1:0] scale);
  wire [7:0] weight;
  codeword_scaled_weight dut (.element(element), .scale(scale), .weight(weight));
  integer value, expected, n, half;
  always @* begin
    if (`RULE == 1 || `RULE == 2) begin
      case (element & 7)
        0: value = 0;
        1: value = 1;
        2: value = 2;
        3: value = 3;
        4: value = 4;
        5: value = 6;
        6: value = 8;
        default: value = 12;
      endcase
      if (element & 8) value = -value;
    end else value = element >= 1 << (`BITS - 1) ? element - (1 << `BITS) : element;
    expected = value;
    half = 0;
    if (`RULE < 2) begin
      expected = 0;
      for (n = 0; n < `CODES + `LOWEST; n = n + 1) if (n < scale + `LOWEST) expected = expected + value;
    end else for (n = 0; n < `CODES; n = n + 1) if (n < scale) begin
      if (`RULE == 2) expected = expected + expected;
      else begin
        half = expected & 1; // the last bit that leaves is rounded upward
        expected = expected >>> 1;
      end
    end
    expected = expected + half;
`ifdef FALSE_SCALED_WEIGHT
    if (scale < `CODES) assert ($signed(weight) == expected && weight != 8'd64);
`else
    if (scale < `CODES) assert ($signed(weight) == expected && expected >= -128 && expected <= 127);
`endif
  end
endmodule
