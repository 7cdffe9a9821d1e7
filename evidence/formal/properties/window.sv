// Whatever is asked for, every burst of an address channel behind a window lies in the window.
module window (
    input clk, input request_valid, input [31:0] address, input [16:0] beats, input [5:0] room, input stop, input clear,
    input burst_ready, input finish);
  (* anyconst *) reg [27:0] base;
  (* anyconst *) reg [28:0] pages;
  wire asks, asks_nothing, refuse, burst_valid, waiting, begun;
  wire [16:0] rest_beats;
  wire [31:0] asked_address, burst_address, waiting_address;
  wire [7:0] burst_length, waiting_length;
  wire [39:0] bus_address;
  codeword_address_channel_64 channel (
      .clk(clk), .rst(1'b0), .request_valid(request_valid), .address(address), .beats(beats), .room(room), .stop(stop),
      .clear(clear), .burst_valid(burst_valid), .burst_ready(burst_ready), .burst_address(burst_address),
      .burst_length(burst_length), .finish(finish), .asks(asks), .asked_address(asked_address),
      .asks_nothing(asks_nothing), .refuse(refuse), .waiting(waiting), .waiting_address(waiting_address),
      .waiting_length(waiting_length), .begun(begun), .rest_beats(rest_beats));
  codeword_window_64 dut (
      .base(base), .pages(pages), .asks(asks), .asked_address(asked_address), .asks_nothing(asks_nothing),
      .refuse(refuse), .burst_address(burst_address), .bus_address(bus_address));
  wire [40:0] first = {base, 12'd0}, behind = ({1'd0, base} + pages) << 12;
  wire [40:0] last = bus_address + ((burst_length + 41'd1) << 3) - 1;
  wire [12:0] waiting_end = waiting_address[11:0] + ((waiting_length + 13'd1) << 3) - 1;
  always @* begin
    assume (base + {1'd0, pages} <= 30'd1 << 28);
    // A burst that waits was allowed; with this the rest follows in one step.
    if (begun) assert (rest_beats != 0);
    if (waiting) assert (waiting_address[31:12] < pages && !waiting_end[12] && waiting_length < 16);
    if (burst_valid) begin
      assert (burst_length < 16 && bus_address >= first);
`ifdef FALSE_WINDOW
      assert (last + 8 < behind);
`else
      assert (last < behind);
`endif
    end
    if (refuse) assert (asks);
    if (asked_address[31:12] < pages && asked_address[2:0] == 0 && !asks_nothing) assert (!refuse);
  end
endmodule
