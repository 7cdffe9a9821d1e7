// A memory behind an AXI4 read master: it answers the bursts it has taken in order, each with its beats. `address`:
// of the beat on the bus. `discards`: the master wants nothing of it, between `clear` and the end of all bursts.
module read_memory #(parameter SIZE = 3, BITS = 32, DEPTH = 32) (
    input clk, input clear, input arvalid, input arready, input [BITS-1:0] araddr, input [7:0] arlen, input rvalid,
    input rready, input rlast, output [BITS-1:0] address, output discards, output reg waits, output reg drops,
    output reg [$clog2(DEPTH+1)-1:0] begun, output reg [$clog2(DEPTH+1)-1:0] taken, output reg [7:0] beat,
    output [7:0] length, output [7:0] next_length, output [BITS-1:0] first, output [BITS-1:0] next_first);
  reg [BITS+7:0] bursts [0:DEPTH-1];
  reg [$clog2(DEPTH)-1:0] head = 0;
  wire [$clog2(DEPTH)-1:0] next = head + 1, tail = head + taken;
  initial {waits, drops, begun, taken, beat} = 0;
  assign {first, length} = bursts[head];
  assign {next_first, next_length} = bursts[next];
  assign address = first + (beat << SIZE);
  assign discards = clear || drops;
  wire takes = arvalid && arready, gives = rvalid && rready, finishes = gives && rlast;
  always @(posedge clk) begin
    waits <= arvalid && !arready;
    drops <= clear || drops && begun != 0;
    begun <= begun + (arvalid && !waits) - finishes;
    taken <= taken + takes - finishes;
    head <= head + finishes;
    if (takes) bursts[tail] <= {araddr, arlen};
    if (gives) beat <= rlast ? 0 : beat + 1;
  end
  always @* begin
    assume (!rvalid || taken != 0);
    assume (rlast == (beat == length));
    assert (begun <= DEPTH);
  end
endmodule
