"""Verilog of what surrounds the accelerator in the bench: memory behind its ports, and DRAM behind that."""

from __future__ import annotations

PAUSES = """\
// Whether each channel may move: always, or with `stalls` in three quarters of the cycles, drawn at random.
module bench_pauses #(parameter CHANNELS = 2, SEED = 1) (
  input clk, input rst, input stalls, input [31:0] seed, output [CHANNELS-1:0] go
);
  reg [31:0] random;
  genvar n;
  generate
    for (n = 0; n < CHANNELS; n = n + 1) assign go[n] = ~(stalls & random[2*n +: 2] == 0);
  endgenerate
  always @(posedge clk)
    random <= rst ? seed ^ SEED : {random[30:0], random[31] ^ random[21] ^ random[1] ^ random[0]};
endmodule
"""

READ = """\
// AXI4 read slave. Answers in order, one beat a cycle, the first one LATENCY >= 1 cycles after its address. With
// `later` each burst comes so many cycles after that, and after the one before it.
module bench_read #(parameter LATENCY = 4, SHIFT = 3, SEED = 1) (
  input clk, input rst, input [31:0] now, input stalls, input [31:0] seed, input [31:0] later,
  input [31:0] araddr, input [7:0] arlen, input arid, input arvalid, output arready,
  output [31:0] address, output rlast, output rid, output rvalid, input rready
);
  reg [31:0] addresses [0:63];
  reg [31:0] dues [0:63];
  reg [7:0] lengths [0:63];
  reg ids [0:63];
  reg [5:0] head, tail;
  reg [6:0] count;
  reg [7:0] beat;
  reg held;
  reg [31:0] last;
  wire [31:0] from = later != 0 & last > now ? last : now;
  wire [1:0] go;
  wire moves = rvalid & rready;
  wire takes = arvalid & arready;
  wire ends = moves & rlast;

  bench_pauses #(.SEED(SEED)) pauses (clk, rst, stalls, seed, go);
  assign arready = count != 64 & go[0];
  assign address = addresses[head] + ({24'd0, beat} << SHIFT);
  assign rlast = beat == lengths[head];
  assign rid = ids[head];
  assign rvalid = count != 0 & now >= dues[head] & (held | go[1]);

  always @(posedge clk) begin
    if (takes) begin
      addresses[tail] <= araddr;
      lengths[tail] <= arlen;
      ids[tail] <= arid;
      dues[tail] <= from + LATENCY + later;
      last <= from + LATENCY + later;
      tail <= tail + 1;
    end
    if (moves) beat <= rlast ? 0 : beat + 1;
    if (ends) head <= head + 1;
    count <= count + takes - ends;
    held <= rvalid & ~rready;
    if (rst) begin
      head <= 0;
      tail <= 0;
      count <= 0;
      beat <= 0;
      held <= 0;
      last <= 0;
    end
  end
endmodule
"""

WRITE = """\
// AXI4 write slave of 64 bits. `write` moves one beat into memory; the response of a burst comes LATENCY
// >= 1 cycles after its last beat. Addresses and data may come in any order.
module bench_write #(parameter LATENCY = 4, SEED = 1) (
  input clk, input rst, input [31:0] now, input stalls, input [31:0] seed,
  input faulty, input [31:0] fault,
  input [31:0] awaddr, input [7:0] awlen, input awid, input awvalid, output awready,
  input [63:0] wdata, input [7:0] wstrb, input wlast, input wvalid, output wready,
  output [1:0] bresp, output bid, output bvalid, input bready,
  output write, output [31:0] address, output [63:0] data, output [7:0] strobe, output misplaced
);
  reg [31:0] addresses [0:63];
  reg [7:0] lengths [0:63];
  reg ids [0:63];
  reg [72:0] beats [0:63];
  reg [31:0] dues [0:63];
  reg [2:0] responses [0:63];
  reg [5:0] a_head, a_tail, w_head, w_tail, b_head, b_tail;
  reg [6:0] a_count, w_count, b_count;
  reg [7:0] beat;
  reg held, bad;
  wire [2:0] go;
  wire a_takes = awvalid & awready;
  wire w_takes = wvalid & wready;
  wire last = beat == lengths[a_head];
  wire ends = write & last;
  wire hits = faulty & address[31:3] == fault[31:3];
  wire b_moves = bvalid & bready;
  // A beat moves into memory in the cycle after it came; a response that is due then does not wait.
  wire [31:0] due = now + LATENCY - 1;
  wire [2:0] response = {ids[a_head], bad | hits, 1'b0};
  wire waiting;

  bench_pauses #(.CHANNELS(3), .SEED(SEED)) pauses (clk, rst, stalls, seed, go);
  assign awready = a_count != 64 & go[0];
  assign wready = w_count != 64 & go[1];
  assign write = a_count != 0 & w_count != 0 & b_count != 64;
  assign address = addresses[a_head] + {21'd0, beat, 3'd0};
  assign {misplaced, strobe, data} = {write & (beats[w_head][72] != last), beats[w_head][71:0]};
  assign waiting = b_count != 0;
  assign {bid, bresp} = waiting ? responses[b_head] : response;
  assign bvalid = (waiting | ends) & now >= (waiting ? dues[b_head] : due) & (held | go[2]);

  always @(posedge clk) begin
    if (a_takes) begin
      addresses[a_tail] <= awaddr;
      lengths[a_tail] <= awlen;
      ids[a_tail] <= awid;
      a_tail <= a_tail + 1;
    end
    if (w_takes) begin
      beats[w_tail] <= {wlast, wstrb, wdata};
      w_tail <= w_tail + 1;
    end
    if (write) begin
      w_head <= w_head + 1;
      beat <= last ? 0 : beat + 1;
      bad <= ~last & (bad | hits);
    end
    if (ends) begin
      a_head <= a_head + 1;
      dues[b_tail] <= due;
      responses[b_tail] <= response;
      b_tail <= b_tail + 1;
    end
    if (b_moves) b_head <= b_head + 1;
    held <= bvalid & ~bready;
    a_count <= a_count + a_takes - ends;
    w_count <= w_count + w_takes - write;
    b_count <= b_count + ends - b_moves;
    if (rst) begin
      {a_head, a_tail, w_head, w_tail, b_head, b_tail} <= 0;
      {a_count, w_count, b_count} <= 0;
      beat <= 0;
      {held, bad} <= 0;
    end
  end
endmodule
"""

DRAM = """\
// DRAM in front of L2 (docs/timing.md section 7). `table_` holds the transfers in their fixed order: tiles
// that have to be there before it, layers that have to have begun, jobs that have to be written, cycles, and
// whether it is a map. With `restart` those from `first` to before `last` begin. One at a time; what it brings
// is announced LATENCY later, weights ANNOUNCE cycles before that, maps one.
module bench_dram #(parameter LATENCY = 100, ANNOUNCE = 16, DEPTH = 65536) (
  input clk, input rst, input [31:0] now, input restart, input [15:0] first, input [15:0] last,
  input begin_layer, input job_written, input tile_there, output weights_there, output maps_there
);
  reg [128:0] table_ [0:DEPTH-1];
  reg [15:0] next, end_;
  reg [31:0] layers, jobs, tiles, free;
  reg [31:0] weights_due [0:15];
  reg [31:0] maps_due [0:15];
  reg [3:0] w_head, w_tail, m_head, m_tail;
  wire [31:0] tiles_needed, layers_needed, jobs_needed, cycles;
  wire map;
  assign {tiles_needed, layers_needed, jobs_needed, cycles, map} = table_[next];
  wire starts = next != end_ & now >= free & tiles >= tiles_needed & layers >= layers_needed
    & jobs >= jobs_needed & layers != 0;
  assign weights_there = w_head != w_tail & now >= weights_due[w_head];
  assign maps_there = m_head != m_tail & now >= maps_due[m_head];

  always @(posedge clk) begin
    layers <= layers + begin_layer;
    jobs <= jobs + job_written;
    tiles <= tiles + tile_there;
    if (starts) begin
      next <= next + 1;
      free <= now + cycles;
      if (map) begin
        maps_due[m_tail] <= now + cycles + LATENCY - 1;
        m_tail <= m_tail + 1;
      end else begin
        weights_due[w_tail] <= now + cycles + LATENCY - ANNOUNCE;
        w_tail <= w_tail + 1;
      end
    end
    if (weights_there) w_head <= w_head + 1;
    if (maps_there) m_head <= m_head + 1;
    if (rst) begin
      {next, end_} <= 0;
    end
    if (restart) begin
      next <= first;
      end_ <= last;
    end
    if (rst | restart) begin
      {layers, jobs, tiles, free} <= 0;
      {w_head, w_tail, m_head, m_tail} <= 0;
    end
  end
endmodule
"""

RULES = """\
// What AXI4 asks of a channel of addresses: an offer stays until it is taken; a burst of whole beats that rise
// ends within its page of 4096 bytes. All bear the ID 0.
module bench_rules #(parameter BITS = 32, SHIFT = 3) (
  input clk, input rst, input [BITS-1:0] addr, input [7:0] len, input [2:0] size, input [1:0] burst, input id,
  input valid, input ready, output broken
);
  reg waits;
  reg [BITS+13:0] offered;
  wire [12:0] end_ = {1'b0, addr[11:0]} + (({5'd0, len} + 13'd1) << SHIFT);
  wire [2:0] beat = SHIFT;
  always @(posedge clk) begin
    waits <= ~rst & valid & ~ready;
    offered <= {addr, len, size, burst, id};
  end
  assign broken = (waits & (~valid | {addr, len, size, burst, id} != offered))
    | (valid & (size != beat | burst != 2'd1 | id | end_ > 13'd4096));
endmodule
"""

MODULES = {
    "bench_rules": RULES,
    "bench_pauses": PAUSES,
    "bench_read": READ,
    "bench_write": WRITE,
    "bench_dram": DRAM,
}
"""Verilog text by module name."""
