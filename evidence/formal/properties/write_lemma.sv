// For two outstanding bursts: what the registers of a write port hold; `first` and `second` are the lengths of the
// bursts whose beats are not all out.
module write_lemma (
    input clk, input begins, input w_ends, input response, input [7:0] awlen, input wvalid, input wlast,
    input aw_waits, input followed, input [6:0] owing, input [6:0] ahead, input [6:0] written, input [6:0] taken,
    input [7:0] length, input [7:0] sent, input [$clog2(2*`BURST_BEATS+1)-1:0] owed,
    input [$clog2(`BURST_BEATS+1)-1:0] fresh, input coming,
    input [7:0] sent_inside, input [$clog2(`WAITING_WORDS+1)-1:0] queue_level, input [1:0] lengths_level,
    input [1:0] level, input waiting, input in_request, input request_valid, input [`REQUEST_BITS-1:0] rest_beats);
  reg [1:0] awaited = 0;
  reg [7:0] first, second;
  wire [1:0] kept = owing - w_ends;
  always @(posedge clk) begin
    awaited <= awaited + begins - response;
    if (w_ends) first <= second;
    if (begins && kept == 0) first <= awlen;
    if (begins && kept == 1) second <= awlen;
  end
  wire [7:0] due = (owing != 0 ? first + 1 - sent : 0) + (owing == 2 ? second + 1 : 0);
  always @* begin
    assert (owing <= awaited && awaited == level && lengths_level == owing);
    assert (written == awaited - owing && taken + aw_waits == awaited && waiting == aw_waits);
    assert (sent_inside == sent && (owing == 0 ? sent == 0 : sent <= first && first < `BURST_BEATS));
    if (owing == 2) assert (second < `BURST_BEATS);
    assert (due == owed + fresh + coming + queue_level);
    if (in_request) assert (request_valid && rest_beats != 0);
    if (wvalid) assert (wlast == (sent == first));
    if (followed) assert (ahead < owing && length == (ahead == 0 ? first : second));
  end
endmodule
