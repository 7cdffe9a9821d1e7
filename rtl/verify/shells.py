"""What each simulator has around the bench: files into its memories, clock, reset, and the end of the run."""

from __future__ import annotations

from rtl.verify import looking
from rtl.verify.bench import BENCH
from rtl.weights.rom import init_files
from sim.accelerator import Accelerator

FILES = {"run": "run.hex", "memory": "memory.hex", "software": "software.hex", "dram.table_": "dram.hex"}
"""File that fills a memory of the bench before the run."""
RESULT = "memory_after.hex"
"""The words of `memory` that the run uses, after the run."""
MAIN = "main.cpp"

_FILES = """\
`timescale 1ns/1ns

module bench_files (input clk, input rst);
  wire over;
  {bench} bench (clk, rst, over);
  initial begin
{reads}  end
  always @(negedge clk) if (over) begin
    $writememh("{result}", bench.memory, 0, bench.run[6] - 1);
    $finish(0);
  end
endmodule
"""

_CLOCK = """\
`timescale 1ns/1ns

module bench_clock;
  reg clk, rst;
  bench_files bench (clk, rst);
  always #1 clk = ~clk;
  initial begin
    clk = 0;
    rst = 1;
    #6 rst = 0;
  end
@waves@endmodule
"""
"""Top around the files for a simulator with time."""

_VERILATOR = """\
#include "Vbench_files.h"
#include "verilated.h"
@include@
int main(int argc, char **argv)
{
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vbench_files bench{&context};
@open@    bench.rst = 1;
    for (long half = 0; !context.gotFinish(); half++) {
        bench.clk = half & 1;
        if (half == 6)
            bench.rst = 0;
        bench.eval();
@dump@        context.timeInc(1);
    }
    bench.final();
@close@    return 0;
}
"""
"""Main program around the files for Verilator."""

_SINK = {
    "@include@": '#include <cstdlib>\n#include <cstring>\n#include "{header}"\n',
    "@open@": """\
    const long first = std::atol(context.commandArgsPlusMatch("first=") + std::strlen("+first="));
    const long last = std::atol(context.commandArgsPlusMatch("end=") + std::strlen("+end="));
    {sink} sink;
    context.traceEverOn(true);
    bench.trace(&sink, 99);
    sink.open("{file}");
""",
    "@dump@": "        if (half >= first && half < last)\n            sink.dump(static_cast<uint64_t>(half));\n",
    "@close@": "    sink.close();\n",
}
"""What the main program for Verilator has to write waves."""

_CXXRTL = """\
#include <cstdio>
#include <fstream>
#include <iomanip>
#include <string>
#include "bench.cc"

// Memories and the files that fill them.
static const char *const files[][2] = {
@files@};

static uint32_t digits(const std::string &word, size_t chunk)
{
    size_t end = word.size() > 8 * chunk ? word.size() - 8 * chunk : 0;
    size_t begin = end > 8 ? end - 8 : 0;
    return end ? std::stoul(word.substr(begin, end - begin), nullptr, 16) : 0;
}

static bool fill(const cxxrtl::debug_item &memory, const char *file)
{
    std::ifstream source(file);
    const size_t chunks = (memory.width + 31) / 32;
    uint32_t *at = memory.curr;
    std::string word;
    for (size_t row = 0; row < memory.depth && source >> word; row++)
        for (size_t chunk = 0; chunk < chunks; chunk++)
            *at++ = digits(word, chunk);
    return source.is_open();
}

int main()
{
    cxxrtl_design::p_bench bench;
    cxxrtl::debug_items items;
    bench.debug_info(&items, nullptr, "");
    for (const auto &entry : files)
        if (items.count(entry[0]) != 1 || !fill(items[entry[0]], entry[1])) {
            std::fprintf(stderr, "%s does not fill %s\\n", entry[1], entry[0]);
            return 1;
        }
    for (int cycle = 0; !bench.p_over.get<bool>(); cycle++) {
        bench.p_rst.set(cycle < 3);
        bench.p_clk.set(false);
        bench.step();
        bench.p_clk.set(true);
        bench.step();
    }
    std::ofstream sink("@result@");
    sink << std::hex << std::setfill('0');
    const uint32_t *memory = items["memory"].curr;
    for (size_t word = 0; word < items["run"].curr[6]; word++)
        sink << std::setw(8) << memory[2 * word + 1] << std::setw(8) << memory[2 * word] << "\\n";
    return 0;
}
"""


def texts(simulator: str, accelerator: Accelerator, waves: str = "") -> dict[str, str]:
    """Source files by name that a simulator needs besides the accelerator and the bench.

    Args:
        waves: ending of the file of waves that it writes (`rtl.verify.looking`), or "".
    """
    if simulator == "cxxrtl":
        roms = {
            f"dut.core.loader.row_decoder.rom.bank_{n}.words": file
            for n, file in enumerate(init_files(accelerator, None))
        }
        rows = "".join(
            f'    {{"{memory.replace(".", " ")}", "{file}"}},\n' for memory, file in (FILES | roms).items()
        )
        # Yosys reads a ROM's file while it builds; the main program fills it with what is there in the run.
        return {MAIN: _CXXRTL.replace("@files@", rows).replace("@result@", RESULT)} | init_files(
            accelerator, None
        )
    reads = "".join(f'    $readmemh("{file}", bench.{memory});\n' for memory, file in FILES.items())
    return {"bench_files.v": _FILES.format(bench=BENCH, result=RESULT, reads=reads)} | around(
        simulator, waves
    )


def around(simulator: str, waves: str = "") -> dict[str, str]:
    """What gives a module `bench_files` its clock and reset, for Icarus and Verilator."""
    if simulator == "icarus":
        return {
            "bench_clock.v": _CLOCK.replace("@waves@", looking.ICARUS if waves else "").replace(
                "@form@", waves
            )
        }
    main = _VERILATOR
    for place, text in _SINK.items():
        if waves:
            header, sink = looking.VERILATOR[waves]
            text = text.format(header=header, sink=sink, file=f"{looking.WAVES}{waves}")
        main = main.replace(place, text if waves else "")
    return {MAIN: main}
