"""The codebook ROM: banks, conflicts, contents, and its Verilog."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from math import ceil

import numpy as np
import pytest

from rtl import verilog
from rtl.waivers import waivers
from rtl.weights.loader import Loader
from rtl.weights.rom import Rom, init_files
from sim.accelerator import load, preset
from sim.errors import InputError
from tests.rtl.simulate import fields, int8, pack, run


def _machine(columns, d, k, banks, ports):
    return load(
        f"rom-4x{columns}",
        {"codeword_length": d, "codebook_entries": k, "rom_banks": banks, "rom_ports": ports},
    )


def _contents(acc, seed=0):
    rng = np.random.default_rng(seed)
    return int8(rng, acc.codebook_entries, acc.codeword_length).astype(np.int8)


@pytest.mark.parametrize(("banks", "ports"), [(1, 1), (1, 3), (2, 1), (3, 2), (6, 1), (16, 1)])
def test_a_row_takes_what_its_fullest_bank_needs(banks, ports):
    acc = _machine(columns=32, d=4, k=50, banks=banks, ports=ports)
    contents = _contents(acc)
    dut = Rom(accelerator=acc, contents=contents)
    rng = np.random.default_rng(banks)

    async def bench(ctx):
        for turn in range(50):
            # Few different codewords in every second row: equal reads count too.
            indices = rng.integers(0, 50 if turn % 2 else 3, dut.records)
            used = dut.records if turn % 3 else int(rng.integers(1, dut.records + 1))
            ctx.set(dut.look, 1)
            ctx.set(dut.requests, (1 << used) - 1)
            ctx.set(dut.indices, pack(indices, dut.index_bits))
            cycles = ceil(max(Counter(int(i) % banks for i in indices[:used]).values()) / ports)
            found = {}
            for cycle in range(cycles):
                assert ctx.get(dut.done) == (cycle == cycles - 1)
                await ctx.tick()
                if cycle == cycles - 1:
                    ctx.set(dut.look, 0)
                words = fields(ctx.get(dut.codewords), 32, dut.records)
                for n in np.flatnonzero(fields(ctx.get(dut.hits), 1, dut.records)).tolist():
                    assert n not in found
                    found[n] = fields(words[n], 8, 4, True)
            assert found == {n: contents[indices[n]].tolist() for n in range(used)}
            if rng.random() < 0.5:
                await ctx.tick()
                assert ctx.get(dut.hits) == 0

    run(dut, bench)


@pytest.mark.parametrize(
    ("k", "banks"),
    [(16, 2), (600, 3), (600, 5), (600, 7), (90, 90), (5, 8), (65536, 6), (65535, 10), (65536, 47)],
)
def test_every_codeword_is_found(k, banks):
    acc = _machine(columns=8, d=8, k=k, banks=banks, ports=1)
    contents = np.zeros((k, 8), np.int8)
    contents.view(np.int64)[:, 0] = np.arange(k)
    dut = Rom(accelerator=acc, contents=contents)
    rng = np.random.default_rng(k)
    edges = {
        edge + n
        for edge in (0, banks, k // 2 // banks * banks, k // banks * banks, k)
        for n in (-2, -1, 0, 1)
    }
    indices = range(k) if k <= 600 else sorted(edges | set(rng.integers(0, k, 400).tolist()))

    async def bench(ctx):
        ctx.set(dut.look, 1)
        ctx.set(dut.requests, 1)
        for index in indices:
            if 0 <= index < k:
                ctx.set(dut.indices, index)
                assert ctx.get(dut.done)
                await ctx.tick()
                assert ctx.get(dut.codewords) == index

    run(dut, bench)


@pytest.mark.parametrize(
    "contents",
    [
        np.zeros((17, 4), np.int8),
        np.zeros((16, 8), np.int8),
        np.zeros((16, 4), np.uint8),
        np.zeros(16, np.int8),
    ],
    ids=["entries", "length", "type", "shape"],
)
def test_contents_that_do_not_fit_are_refused(contents):
    with pytest.raises(InputError) as error:
        Rom(accelerator=preset("rom-4"), contents=contents)
    assert error.value.field == "rom"


@pytest.mark.parametrize("banks", [4, 6])
def test_init_files_hold_the_codewords_of_their_bank(banks):
    acc = _machine(columns=16, d=4, k=50, banks=banks, ports=1)
    contents = _contents(acc)[:47]
    files = init_files(acc, contents)
    assert sorted(files) == sorted(f"codebook_rom_{bank}.hex" for bank in range(banks))
    for bank in range(banks):
        lines = files[f"codebook_rom_{bank}.hex"].split()
        assert len(lines) == ceil(50 / banks)
        for address, line in enumerate(lines):
            n = address * banks + bank
            expected = contents[n].tolist() if n < 47 else [0] * 4
            assert fields(int(line, 16), 8, 4, True) == expected
            assert len(line) == 8


def test_a_machine_without_a_rom_has_no_init_files():
    assert init_files(preset("ews-c-4"), None) == {}


# ---- Verilog

BENCH = """\
module bench;
  reg clk = 0, rst = 1, look = 0;
  reg [{index_top}:0] rows [0:{last_row}];
  reg [{index_top}:0] indices;
  wire done;
  wire [{hit_top}:0] hits;
  wire [{word_top}:0] codewords;
  integer row = 0;
  codeword_rom rom (.clk(clk), .rst(rst), .look(look), .requests({{{records}{{1'b1}}}}),
                    .indices(indices), .done(done), .hits(hits), .codewords(codewords));
  always #5 clk = ~clk;
  always @(negedge clk) if (!rst) begin
    if (hits != 0) $display("%h %h", hits, codewords);
    if (look) row = row + done_before;
    if (row > {last_row}) look = 0; else begin look = 1; indices = rows[row]; end
    if (!look) begin $finish; end
  end
  reg done_before = 0;
  always @(posedge clk) done_before <= look & done;
  initial begin
    $readmemh("rows.hex", rows);
    #22 rst = 0;
  end
endmodule
"""


def _write(block, directory):
    """The modules of a block, and how many bytes they have."""
    texts = {f"codeword_{kind}.v": text for kind, (_, text) in verilog.hierarchy(block).items()}
    for name, text in texts.items():
        (directory / name).write_text(text)
    return texts


@pytest.mark.parametrize("ports", [1, 2])
def test_the_exported_rom_reads_its_files(tmp_path, ports):
    acc = _machine(columns=16, d=4, k=50, banks=6, ports=ports)
    contents = _contents(acc)
    dut = Rom(accelerator=acc, contents=contents)
    texts = _write(dut, tmp_path)
    for name, text in init_files(acc, contents).items():
        (tmp_path / name).write_text(text)
    rows = np.random.default_rng(1).integers(0, 50, (40, dut.records))
    (tmp_path / "rows.hex").write_text("".join(f"{pack(row, dut.index_bits):x}\n" for row in rows))
    (tmp_path / "bench.v").write_text(
        BENCH.format(
            index_top=dut.records * dut.index_bits - 1,
            hit_top=dut.records - 1,
            word_top=32 * dut.records - 1,
            records=dut.records,
            last_row=len(rows) - 1,
        )
    )
    subprocess.run(["iverilog", "-g2005", "-o", "bench", "bench.v", *texts], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "bench"], cwd=tmp_path, check=True, capture_output=True, text=True)
    found, row = [], {}
    for line in done.stdout.splitlines():
        if len(line.split()) != 2:
            continue
        hits, codewords = (int(part, 16) for part in line.split())
        for n in np.flatnonzero(fields(hits, 1, dut.records)).tolist():
            row[n] = fields(codewords >> 32 * n, 8, 4, True)
        if len(row) == dut.records:
            found.append([row[n] for n in range(dut.records)])
            row = {}
    assert found == contents[rows].tolist()


def test_the_exported_rom_is_small_whatever_it_holds(tmp_path):
    acc = preset("rom-64")
    texts = _write(Rom(accelerator=acc, contents=_contents(acc)), tmp_path)
    assert texts == _write(Rom(accelerator=acc), tmp_path)
    assert sum(len(text) for text in texts.values()) < 2e5
    rom = texts["codeword_rom.v"]
    assert rom.count("codeword_rom_bank #(") == acc.rom_banks
    for bank in range(acc.rom_banks):
        assert f'.FILE("codebook_rom_{bank}.hex")' in rom


@pytest.mark.parametrize(
    "acc",
    [preset("rom-16"), _machine(32, 4, 500, 3, 2), preset("ssvq-8")],
    ids=lambda acc: f"{acc.format}-{acc.rom_banks}",
)
def test_lint_clean(acc, tmp_path):
    from rtl.verify.simulators import environment

    texts = _write(Loader(accelerator=acc), tmp_path)
    settings = environment("verilator")
    (tmp_path / "lint.vlt").write_text(waivers(texts))
    done = subprocess.run(
        [
            shutil.which("verilator", path=settings["PATH"]),
            "--lint-only",
            "-Wall",
            "--top-module",
            "codeword_loader",
            "lint.vlt",
            *texts,
        ],
        check=False,
        cwd=tmp_path,
        env=settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[:2000]
    assert "%Warning" not in done.stderr
