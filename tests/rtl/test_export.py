"""The export: complete, readable, lint-clean, written as a whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import numpy as np
import pytest
import yaml

from rtl import export, owned, verilog
from rtl.verify import given
from rtl.verify.simulators import environment
from rtl.waivers import WAIVERS, waivers
from sim.accelerator import load, preset
from sim.errors import InputError

FAMILIES = ("ws", "ws-cms", "ews", "ews-c", "ews-cm", "ews-cms", "ssvq", "rom")


def codebook(acc):
    if acc.format != "rom":
        return None
    return np.arange(5 * acc.codeword_length, dtype=np.int8).reshape(5, -1)


@pytest.mark.parametrize("name", ["ews-4", "ews-cms-8", "rom-4"])
def test_every_file_is_readable_and_says_what_it_is(name, tmp_path):
    acc = preset(name)
    files = export.export(acc, tmp_path / "out", codebook=codebook(acc))
    assert files[0].name == "codeword_accelerator.v"
    beside = {
        owned.MANIFEST,
        "lint.vlt",
        "registers.md",
        "codeword_registers.h",
        "codeword.core",
        "codeword.sdc",
        "codeword.upf",
        "codeword.xml",
        "codeword_zynq.tcl",
        "codeword_zynq.v",
    }
    if acc.weights.masks:
        beside |= {"codeword_mask_decoder_masks.hex"}
    if acc.format == "rom":
        beside |= {f"codebook_rom_{bank}.hex" for bank in range(acc.rom_banks)}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in files} | beside
    for path in files:
        text = path.read_text()
        assert re.findall(r"^module (\w+)", text, re.M) == [path.stem]
        header = text[: text.index("\nmodule")]
        for part in (f"{path.stem}: ", "Throughput:", "Handshake:", f"Configuration: {name},"):
            assert part in header
        assert not re.search(r"/(home|root|tmp|usr|work)/|\bsrc\b", text)


@pytest.mark.parametrize(("name", "field"), [("ews-128x64", "rows = 128"), ("ews-cms-64x96", "columns = 96")])
def test_arrays_beyond_the_proven_ones_are_refused(name, field, tmp_path):
    with pytest.raises(InputError, match=rf"{field}: an array larger.*use 64 or fewer"):
        export.export(preset(name), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_ports_of_the_accelerator_are_stable():
    found = {
        port.name for port in verilog.ports(verilog.modules(preset("ews-cms-4"))["codeword_accelerator"])
    }
    channels = {
        "ar": ("addr", "len", "size", "burst", "id", "valid", "ready"),
        "r": ("data", "resp", "last", "id", "valid", "ready"),
        "aw": ("addr", "len", "size", "burst", "id", "valid", "ready"),
        "w": ("data", "strb", "last", "valid", "ready"),
        "b": ("resp", "id", "valid", "ready"),
    }
    masters = {"commands": "ar r", "weights": "ar r", "maps": "ar r aw w b"}
    expected = [
        f"m_axi_{master}_{channel}{name}"
        for master, used in masters.items()
        for channel in used.split()
        for name in channels[channel]
    ]
    expected += [
        "clk",
        "rst",
        "irq",
        "s_axil_awaddr",
        "s_axil_rdata",
        "weights_there",
        "maps_there",
        "begin_layer",
        "end_layer",
        "job_written",
        "tile_there",
        "begin_run",
        "events",
    ]
    assert found >= {*expected}
    assert not [name for name in found if name.startswith("count")]


def test_tables_are_files_that_icarus_reads(tmp_path):
    """And that verification of an export puts back."""
    acc = preset("ews-cms-8")
    files = export.export(acc, tmp_path / "out")
    decoder = next(path for path in files if path.stem == "codeword_mask_decoder")
    assert "initial $readmemh" in decoder.read_text()
    inside = verilog.modules(acc)[decoder.stem]
    words = re.findall(r"    masks\[\d+\] = \d+'h(\w+);", inside)
    assert (tmp_path / "out" / "codeword_mask_decoder_masks.hex").read_text().split() == words
    back = given.texts(tmp_path / "out")[decoder.name]
    assert re.findall(r"    masks\[(\d+)\] = 8'h(\w+);", back) == [(str(n), w) for n, w in enumerate(words)]
    bench = "module bench;\n  reg [4:0] code; wire [7:0] mask;\n  codeword_mask_decoder dut ({});\n"
    ports = {port.name: port.width for port in verilog.ports(inside)}
    assert set(ports) == {"code", "mask"}
    (tmp_path / "out" / "bench.v").write_text(
        bench.format(f".code(code[{ports['code'] - 1}:0]), .mask(mask)")
        + '  integer n;\n  initial for (n = 0; n < 28; n = n + 1) begin code = n; #1 $display("%h", mask); end\n'
        "endmodule\n"
    )
    command = ["iverilog", "-o", "bench", "bench.v", decoder.name]
    subprocess.run(command, cwd=tmp_path / "out", check=True)
    said = subprocess.run(["vvp", "bench"], cwd=tmp_path / "out", check=True, capture_output=True, text=True)
    assert said.stdout.split()[: len(words)] == words[:28]


def test_the_text_does_not_depend_on_what_was_exported_before():
    first = dict(verilog.modules(preset("ews-cms-4")))
    verilog.modules.cache_clear()
    verilog.modules(preset("ews-c-4"))
    assert verilog.modules(preset("ews-cms-4")) == first


def test_a_failed_export_leaves_the_last_one(tmp_path, monkeypatch):
    target = tmp_path / "out"
    export.export(preset("ews-4"), target)
    before = {path.name: path.read_text() for path in target.iterdir()}
    monkeypatch.setattr(export, "waivers", lambda sources: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export.export(preset("ews-8"), target)
    assert {path.name: path.read_text() for path in target.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    monkeypatch.undo()
    export.export(preset("ews-8"), target)
    assert "ews-8" in (target / "codeword_accelerator.v").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("ews-8", {"psum_ports": 2}, r"psum_ports = 2: .*psum_ports = 1"),
        ("ews-8", {"edge_registers": False}, r"edge_registers = False: .*edge_registers = true"),
        ("ews-8", {"rows": 6, "tile_rows": 2}, r"rows = 6: .*multiple of 4"),
        ("ews-8", {"psum_banks": 1}, r"psum_banks = 1: .*at least 4"),
        ("ews-16", {"ifmap_banks": 1}, r"ifmap_banks = 1: .*at least 2"),
        ("ews-8", {"requant_lanes": 3}, r"requant_lanes = 3: .*divides columns"),
        ("ews-8", {"dma_bits": 128}, r"dma_bits = 128: .*dma_bits = 64"),
        ("ews-8", {"dma_setup": 2}, r"dma_setup = 2: .*dma_setup >= 3"),
        ("ews-8", {"dma_burst_gap": 1}, r"dma_burst_gap = 1: .*dma_burst_gap = 0"),
        ("ews-8", {"l2_latency": 20}, r"l2_latency = 20: .*l2_latency <= 13"),
        ("ews-4", {"l1_bytes": 1 << 30}, r"l1_bytes = 1073741824: .*psum group.*lower it"),
        ("rom-8", {"rom_ports": 3}, r"rom_ports = 3: .*raise rom_banks"),
    ],
)
def test_what_the_rtl_cannot_build_is_refused(name, changes, message, tmp_path):
    acc = load(name, changes)
    with pytest.raises(InputError, match=message):
        export.export(acc, tmp_path / "rtl", codebook=codebook(acc))
    assert not list(tmp_path.iterdir())


def test_a_rom_needs_its_contents_and_nobody_else_takes_any(tmp_path):
    with pytest.raises(InputError, match=r"codebook.*universal codebook"):
        export.export(preset("rom-8"), tmp_path / "rtl")
    with pytest.raises(InputError, match=r"codebook.*no codebook ROM"):
        export.export(preset("ews-8"), tmp_path / "rtl", codebook=np.zeros((4, 8), np.int8))
    with pytest.raises(InputError, match=r"int8\[4, 4\].*\[16, 8\]"):
        export.export(preset("rom-8"), tmp_path / "rtl", codebook=np.zeros((4, 4), np.int8))
    assert not list(tmp_path.iterdir())


def test_fusesoc_core(tmp_path):
    acc = preset("rom-4")
    files = export.export(acc, tmp_path / "out", codebook=codebook(acc))
    first, _, text = (tmp_path / "out" / "codeword.core").read_text().partition("\n")
    assert first == "CAPI=2:"
    core = yaml.safe_load(text)
    assert re.fullmatch(r"[\w-]*:[\w-]*:[\w-]+:[\d.]+", core["name"])
    assert core["filesets"]["rtl"]["files"] == [path.name for path in files]
    for target in core["targets"].values():
        assert target["toplevel"] == files[0].stem
        for name in target["filesets"]:
            for entry in core["filesets"][name]["files"]:
                assert (tmp_path / "out" / (entry if isinstance(entry, str) else next(iter(entry)))).exists()


@pytest.mark.slow
def test_the_largest_array_repeats_no_module(tmp_path):
    files = export.export(preset("ews-cms-64"), tmp_path / "out")
    assert sum(path.stat().st_size for path in files) < 3e6


def _lint(name, directory):
    acc = preset(name)
    settings = environment("verilator")
    files = export.export(acc, directory, codebook=codebook(acc))
    tool = shutil.which("verilator", path=settings["PATH"])
    done = subprocess.run(
        [
            tool,
            "--lint-only",
            "-Wall",
            "--top-module",
            verilog.TOP,
            str(directory / "lint.vlt"),
            *map(str, files),
        ],
        check=False,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[:2000]
    assert "%Warning" not in done.stderr


@pytest.mark.parametrize("name", [f"{family}-4" for family in FAMILIES])
def test_lint_clean(name, tmp_path):
    _lint(name, tmp_path / "out")


@pytest.mark.parametrize("name", ["int3-g64-4", "aqlm-4"])
def test_lint_clean_of_few_bits(name, tmp_path):
    _lint(name, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [f"{family}-{size}" for family in FAMILIES for size in ("8", "16", "64", "8x32")]
)
def test_lint_clean_at_every_size(name, tmp_path):
    _lint(name, tmp_path / "out")


def test_every_waiver_has_a_reason_and_names_its_lines():
    files = {f"{name}.v": text for name, text in verilog.modules(preset("ews-cms-4")).items()}
    kinds = re.split(r"^// (.+)$", waivers(files), flags=re.M)[1:]
    assert len(kinds) == 2 * len(WAIVERS)
    for (rule, (reason, _)), said, lines in zip(WAIVERS.items(), kinds[::2], kinds[1::2], strict=True):
        assert said == reason
        for line in lines.split("\n")[1:-1]:
            file, first, last = re.fullmatch(
                rf'lint_off -rule {rule} -file "\*(\w+\.v)" -lines (\d+)-(\d+)', line
            ).groups()
            assert 1 <= int(first) <= int(last) <= files[file].count("\n")


def test_no_wire_is_without_a_name_and_none_is_declared_by_accident():
    for name, text in verilog.modules(preset("ews-cms-4")).items():
        code = re.sub(r"^//.*$", "", text, flags=re.M).strip()
        assert code.startswith("`default_nettype none\n"), name
        assert code.endswith("`default_nettype wire"), name
        assert not re.search(r"\b_\d+_\b|\\\$", code), name
        assert code.count(" initial ") <= 1, name
