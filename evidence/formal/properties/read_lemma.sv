// For two outstanding bursts: what the address channel of a read port holds. `due`: beats that are still to come.
module read_lemma (
    input clk, input arvalid, input [7:0] arlen, input finishes, input waits, input drops, input [1:0] begun,
    input [1:0] taken, input [7:0] beat, input [7:0] length, input [7:0] next_length, input [1:0] level,
    input waiting, input dropping, output [7:0] due, output reg [7:0] one, output reg [7:0] other);
  wire [1:0] kept = begun - finishes;
  wire begins = arvalid && !waits;
  assign due = (begun != 0 ? one + 1 - beat : 0) + (begun == 2 ? other + 1 : 0);
  always @(posedge clk) begin
    if (finishes) one <= other;
    if (begins && kept == 0) one <= arlen;
    if (begins && kept == 1) other <= arlen;
  end
  always @* begin
    assert (level == begun && waiting == waits && dropping == drops);
    assert (taken <= begun && begun == taken + waits);
    if (taken != 0) assert (length == one && beat <= one);
    else assert (beat == 0);
    if (taken == 2) assert (next_length == other);
    if (waits) assert (arlen == (begun == 1 ? one : other));
  end
endmodule
