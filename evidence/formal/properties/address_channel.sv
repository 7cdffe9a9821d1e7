// Requests to bursts: rules of the address channel, cover of every request, outstanding bursts.
module address_channel (
    input clk, input request_valid, input [31:0] address, input [16:0] beats, input [5:0] room, input stop, input clear,
    input burst_ready, input finish, input refuse);
  wire request_ready, burst_valid, begins, idle, dropping, begun;
  wire [31:0] burst_address, oldest, rest_address;
  wire [7:0] burst_length;
  wire [4:0] asked;
  wire [16:0] rest_beats;
  wire [5:0] underway_level;
  wire waiting, asks, asks_nothing;
  wire [31:0] asked_address;
  codeword_address_channel_64 dut (
      .clk(clk), .rst(1'b0), .request_valid(request_valid), .request_ready(request_ready), .address(address),
      .beats(beats), .room(room), .stop(stop), .clear(clear), .refuse(refuse), .burst_valid(burst_valid), .burst_ready(burst_ready),
      .burst_address(burst_address), .burst_length(burst_length), .begins(begins), .asked(asked), .finish(finish), .oldest(oldest),
      .idle(idle), .dropping(dropping), .begun(begun), .rest_address(rest_address), .rest_beats(rest_beats),
      .underway_level(underway_level), .waiting(waiting), .asks(asks), .asked_address(asked_address),
      .asks_nothing(asks_nothing));
  wire [16:0] done;
  burst_rules #(3) bursts (clk, burst_valid, burst_ready, burst_address, burst_length, 3'd3, 2'd1, 1'b0);
  request_rules #(3) requests (clk, clear, request_valid, request_ready, address, beats, asked, burst_address, done);
  reg [5:0] outstanding = 0;
  reg drops = 0, waits = 0;
  always @(posedge clk) begin
    outstanding <= outstanding + (asked != 0) - finish;
    waits <= burst_valid && !burst_ready;
    drops <= clear || drops && outstanding != 0;
  end
  always @* begin
    assume (!finish || outstanding != 0);
    assert (outstanding <= 32 && idle == (outstanding == 0));
    assert (underway_level == outstanding && waiting == waits);
    assert (dropping == drops);
    assert (asked <= room && begins == (asked != 0));
    if (stop || clear || dropping) assert (asked == 0 && !asks);
    if (refuse) assert (asked == 0);
    assert (asks == (request_valid && !waiting && !stop && !clear && !dropping));
    assert (asked_address == (begun ? rest_address : address) && asks_nothing == ((begun ? rest_beats : beats) == 0));
    if (asked != 0) assert (asks && burst_address == asked_address);
    // What is left of the request; with this the rest follows in one step.
    assert (begun == (done != 0));
    if (begun) assert (request_valid && rest_address == address + (done << 3) && rest_beats == beats - done);
    if (begun) assert (done < beats);
  end
endmodule
