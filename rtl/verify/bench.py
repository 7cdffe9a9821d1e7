"""The Verilog test bench: memories and files around the core, so that no cycle passes Python."""

from __future__ import annotations

from rtl.core import COUNTER_BITS, Core
from rtl.counters import COUNTERS
from rtl.geometry import COUNT_BITS, PSUM_BITS, Geometry
from rtl.verify.stimulus import CHUNK_LIMIT
from rtl.verilog import TOP
from sim.accelerator import Accelerator

BENCH = "bench"

_TEMPLATE = """\
// Test bench of {top}. Reads layer.hex (cycle limit, layer configuration), loader_chunk.hex,
// slot_chunk.hex, beats.hex and vectors.hex (in order of request) from the working directory;
// writes rows.txt: cycle, finished, address and value of every emitted row.
`timescale 1ns/1ns

module {bench} (
  input clk /* verilator public_flat_rw */,
  input rst /* verilator public_flat_rw */,
  input start /* verilator public_flat_rw */,
  output reg complete /* verilator public_flat_rw */,
  output [{counter_bits}:0] counters /* verilator public_flat_rw */
);
{ports}
  reg [31:0] layer [0:{layer_words}];
  reg [{loader_chunk}:0] loader_chunks [0:{chunk_limit}];
  reg [{slot_chunk}:0] slot_chunks [0:{chunk_limit}];
  reg [{row_bits}:0] psums [0:{psum_rows}];
  reg [{weight_bits}:0] next_beat, beat;
  reg [{vector_bits}:0] next_vector, vector;
  reg [{row_bits}:0] stored;
  reg [31:0] cycle;
  integer beats, vectors, rows, status;

  {top} core ({connections});

{configuration}
  assign loader_chunk = loader_chunks[loader_index[15:0]];
  assign slot_chunk = slot_chunks[slot_index[15:0]];
  assign weight_valid = 1'b1;
  assign weight_data = beat;
  assign activation = vector;
  assign psum_read_data = stored;
  assign counters = {{{counters}}};

  initial begin
    complete = 0;
    $readmemh("layer.hex", layer);
    $readmemh("loader_chunk.hex", loader_chunks, 0, layer[1] - 1);
    $readmemh("slot_chunk.hex", slot_chunks, 0, layer[1] - 1);
    beats = $fopen("beats.hex", "r");
    vectors = $fopen("vectors.hex", "r");
    rows = $fopen("rows.txt", "w");
    status = $fscanf(beats, "%h", beat);
  end

  always @(posedge clk) begin
    cycle <= start ? 0 : cycle + 1;
    if (weight_ready) begin
      status = $fscanf(beats, "%h", next_beat);
      beat <= next_beat;
    end
    if (activation_request) begin
      status = $fscanf(vectors, "%h", next_vector);
      vector <= next_vector;
    end
    if (psum_read) stored <= psums[psum_read_address[{psum_address}:0]];
    if (psum_write) psums[row_address[{psum_address}:0]] <= row;
    if (busy & (psum_write | finished)) $fwrite(rows, "%0d %0d %0d %h\\n", cycle, finished, row_address, row);
    if (busy & (done | cycle >= layer[0])) begin
      $fclose(rows);
      complete <= 1;
    end
  end
endmodule
"""


def bench(accelerator: Accelerator) -> str:
    """Verilog of the bench around an accelerator's core."""
    core, geometry = Core(accelerator=accelerator), Geometry(accelerator)
    members = core.signature.members
    shared = {"clk", "rst", "start"}
    psum_address = (max(accelerator.psum_bytes * 8 // PSUM_BITS, 2) - 1).bit_length()
    ports = "".join(f"  wire [{getattr(core, name).shape().width - 1}:0] {name};\n"
                    for name in members if name not in shared)
    return _TEMPLATE.format(
        bench=BENCH, top=TOP, ports=ports,
        connections=", ".join(f".{name}({name})" for name in (*sorted(shared), *(
            name for name in members if name not in shared))),
        configuration="".join(f"  assign {name} = layer[{n}];\n"
                              for n, name in enumerate(core.config, 1)),
        counters=", ".join(f"count_{name}" for name in reversed(COUNTERS)),
        counter_bits=COUNTER_BITS * len(COUNTERS) - 1, chunk_limit=CHUNK_LIMIT - 1,
        layer_words=len(core.config),
        loader_chunk=geometry.loader_chunk.size - 1, slot_chunk=geometry.slot_chunk.size - 1,
        row_bits=PSUM_BITS * accelerator.columns - 1,
        psum_rows=(1 << min(psum_address, COUNT_BITS)) - 1,
        psum_address=min(psum_address, COUNT_BITS) - 1,
        weight_bits=accelerator.weight_port_bits - 1, vector_bits=8 * accelerator.rows - 1)
