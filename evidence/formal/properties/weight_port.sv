// Weight port: rules of AR; jobs leave in order, beats as memory gave them, none lost or doubled, stable until taken.
// One job and one beat, any, are followed.
module weight_port (
    input clk, input in_valid, input [`JOB_BITS-1:0] in_job, input out_ready, input weights_there, input weight_ready,
    input arready, input [`BEAT_BITS-1:0] rdata, input [1:0] rresp, input rlast, input rvalid, input stop, input clear,
    input pick_job, input pick_beat, input refuse);
  localparam SIZE = $clog2(`BEAT_BITS / 8);
  wire waits, drops;
  wire [$clog2(`OUTSTANDING+1)-1:0] begun, taken;
  wire [7:0] beat_number, length, next_length;
  wire in_ready, out_valid, weight_valid, arvalid, arid, rready, idle, error, discards;
  wire [`JOB_BITS-1:0] out_job;
  wire [`BEAT_BITS-1:0] weight_data;
  wire [`ADDRESS_BITS-1:0] araddr, error_address, address;
  wire [7:0] arlen;
  wire [2:0] arsize;
  wire [1:0] arburst;
  codeword_weight_port dut (
      .clk(clk), .rst(1'b0), .in_valid(in_valid), .in_ready(in_ready), .in_job(in_job), .out_valid(out_valid),
      .out_ready(out_ready), .out_job(out_job), .weights_there(weights_there), .weight_valid(weight_valid),
      .weight_ready(weight_ready), .weight_data(weight_data), .araddr(araddr), .arlen(arlen), .arsize(arsize),
      .arburst(arburst), .arid(arid), .arvalid(arvalid), .arready(arready), .rdata(rdata), .rresp(rresp),
      .rlast(rlast), .rid(1'b0), .rvalid(rvalid), .rready(rready), .stop(stop), .clear(clear), .refuse(refuse), .idle(idle),
      .error(error), .error_address(error_address)
`ifdef STRENGTHENED
      , .reserved(reserved), .ripe(ripe), .there(there), .ripening(ripening), .\jobs.level (jobs_level),
      .\jobs.storage[0] (job_words[0 +: `JOB_BITS]), .\jobs.storage[1] (job_words[`JOB_BITS +: `JOB_BITS]),
      .\jobs.head (jobs_head), .\transfers.level (transfers_level),
      .\transfers.storage[0] (transfer_words[0 +: TRANSFER]),
      .\transfers.storage[1] (transfer_words[TRANSFER +: TRANSFER]),
      .\transfers.head (transfers_next), .\transfers.out_data (front),
      .\buffer.level (buffer_level), .\buffer.head (buffer_head),
      .\buffer.storage[0] (beat_words[0 +: `BEAT_BITS]), .\buffer.storage[1] (beat_words[`BEAT_BITS +: `BEAT_BITS]),
      .\buffer.storage[2] (beat_words[2*`BEAT_BITS +: `BEAT_BITS]),
      .\buffer.storage[3] (beat_words[3*`BEAT_BITS +: `BEAT_BITS]),
      .\port.channel.underway_level (level), .\port.channel.waiting (waiting),
      .\port.channel.begun (in_request), .\port.channel.rest_beats (rest_beats), .\port.channel.dropping (dropping)
`endif
      );
  burst_rules #(SIZE, `ADDRESS_BITS, `BURST_BEATS, $clog2(`PAGE_BYTES)) bursts (
      clk, arvalid, arready, araddr, arlen, arsize, arburst, arid);
  read_memory #(SIZE, `ADDRESS_BITS, `OUTSTANDING) memory (
      clk, clear, arvalid, arready, araddr, arlen, rvalid, rready, rlast, address, discards, waits, drops,
      begun, taken, beat_number, length, next_length);
  stream_rules #(`JOB_BITS) job_rules (clk, clear, out_valid, out_ready, out_job);
  stream_rules #(`BEAT_BITS) beat_rules (clk, clear, weight_valid, weight_ready, weight_data);
  wire [6:0] jobs, beats, jobs_ahead, beats_ahead;
  wire job_followed, beat_followed;
  wire [`JOB_BITS-1:0] job;
  wire [`BEAT_BITS-1:0] beat;
  wire job_leaves = out_valid && out_ready;
  queue_rules #(`JOB_BITS, 7) job_order (
      clk, clear, pick_job, in_valid && in_ready, in_job, job_leaves, out_job, jobs,
      job_followed, jobs_ahead, job);
  queue_rules #(`BEAT_BITS, 7) beat_order (
      clk, clear, pick_beat, rvalid && rready && !discards, rdata, weight_valid && weight_ready, weight_data, beats,
      beat_followed, beats_ahead, beat);
  // Jobs that wait leave after as many pulses.
  reg [7:0] pulses = 0;
  always @(posedge clk) pulses <= clear ? 0 : pulses + weights_there - (job_leaves && out_job[`WAIT]);
`ifdef STRENGTHENED
  // What the registers inside hold.
  localparam TRANSFER = 1 + `BEAT_COUNT_BITS + `ADDRESS_BITS;
  wire [2*`JOB_BITS-1:0] job_words;
  wire [2*TRANSFER-1:0] transfer_words;
  wire [TRANSFER-1:0] front;
  wire [4*`BEAT_BITS-1:0] beat_words;
  wire jobs_head, transfers_next, transfers_head = !transfers_next;
  wire [1:0] buffer_head, jobs_level, transfers_level;
  wire [2:0] reserved, buffer_level;
  wire [`CREDIT_BITS-1:0] ripe, there;
  wire [`ANNOUNCE-2:0] ripening;
  wire [$clog2(`OUTSTANDING+1)-1:0] level;
  wire waiting, in_request, dropping;
  wire [`REQUEST_BITS-1:0] rest_beats;
  wire [7:0] due;
  read_lemma port_inside (
      clk, arvalid, arlen, rvalid && rready && rlast, waits, drops, begun, taken, beat_number, length, next_length,
      level, waiting, dropping, due);
  queue_lemma #(`JOB_BITS, 2, 7) jobs_inside (
      job_words, jobs_head, jobs_level, jobs, job_followed, jobs_ahead, job);
  queue_lemma #(`BEAT_BITS, 4, 7) beats_inside (
      beat_words, buffer_head, buffer_level, beats, beat_followed, beats_ahead, beat);
  // The jobs that wait and their transfers, oldest first.
  wire [`JOB_BITS-1:0] first_job = job_words >> `JOB_BITS * jobs_head, second_job = job_words >> `JOB_BITS * !jobs_head;
  wire [TRANSFER-1:0] first = transfer_words >> TRANSFER * transfers_head;
  wire [TRANSFER-1:0] second = transfer_words >> TRANSFER * !transfers_head;
  wire [`BEAT_BITS-1:0] shown = beat_words >> `BEAT_BITS * buffer_head;
  wire [7:0] jobs_wait = (jobs != 0 && first_job[`WAIT]) + (jobs == 2 && second_job[`WAIT]);
  wire [7:0] transfers_wait = (transfers_level != 0 && first[0]) + (transfers_level == 2 && second[0]);
  integer n;
  reg [7:0] announced;
  always @* begin
    announced = ripe;
    for (n = 0; n < `ANNOUNCE - 1; n = n + 1) announced = announced + ripening[n];
    assert (announced == pulses);
    assert (there + jobs_wait == pulses + transfers_wait);
    assert (transfers_level <= 2);
    if (transfers_level != 0) assert (front == first);
    if (transfers_level != 0) assert (first[1 +: `BEAT_COUNT_BITS] != 0);
    if (transfers_level == 2) assert (second[1 +: `BEAT_COUNT_BITS] != 0);
    if (weight_valid) assert (beats != 0 && weight_data == shown);
    assert (reserved == (drops ? 0 : beats + due) && reserved <= `BUFFER_BEATS);
    if (in_request) assert (transfers_level != 0 && (!first[0] || there != 0) && rest_beats != 0);
  end
`endif
`ifdef FALSE_WEIGHT_PORT
  wire needs_pulse = 1;
`else
  wire needs_pulse = out_job[`WAIT];
`endif
  always @* begin
    assume (pulses < `MOST_PULSES);
    assume (in_job[`ADDRESS +: `ADDRESS_BITS] % (1 << SIZE) == 0 && in_job[`BEATS +: `BEAT_COUNT_BITS] != 0);
    assert (jobs <= `WAITING_JOBS && beats <= `BUFFER_BEATS);
    // What memory gives is always taken.
    assert (rready);
    if (job_leaves && needs_pulse) assert (pulses != 0);
  end
endmodule
