// Register file with one write port: a read gives what was last written at its address, in the cycle after at the
// earliest. One address, any.
module wrf (input clk, input write_enable, input [1:0] write_address, input [9:0] write_data, input [1:0] read_address);
  wire [9:0] read_data;
  codeword_wrf dut (.clk(clk), .rst(1'b0), .write_enable(write_enable), .write_address(write_address),
                    .write_data(write_data), .read_address(read_address), .read_data(read_data));
  (* anyconst *) reg [1:0] address;
  reg known = 0;
  reg [9:0] word;
  always @(posedge clk)
    if (write_enable && write_address == address) begin
      known <= 1;
      word <= write_data;
    end
`ifdef FALSE_WRF
  wire seen = known || write_enable && write_address == address;
`else
  wire seen = known;
`endif
  always @* if (seen && read_address == address) assert (read_data == word);
endmodule
