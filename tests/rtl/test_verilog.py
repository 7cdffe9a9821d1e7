"""The exported Verilog: complete, readable, lint-clean, written as a whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from rtl import verilog
from rtl.verify.simulators import environment
from sim.accelerator import preset
from sim.errors import InputError

DENSE = {"array", "beat_buffer", "core", "counters", "dense_tile", "entry_counter", "loader", "pe",
         "prf", "sequencer", "wrf"}
SPARSE = (DENSE - {"dense_tile", "pe"}) | {"codebook", "compactor", "demux", "lzc", "mask_decoder",
                                           "positions", "row_decoder", "sparse_pe", "sparse_tile"}


@pytest.mark.parametrize(("name", "kinds"), [("ews-4", DENSE), ("ews-cms-8", SPARSE)])
def test_one_module_of_each_kind(name, kinds, tmp_path):
    files = verilog.export(preset(name), tmp_path / "out")
    assert files[0].name == "codeword_core.v"
    assert {path.name for path in files} == {f"codeword_{kind}.v" for kind in kinds}
    assert {path.name for path in (tmp_path / "out").iterdir()} == (
        {path.name for path in files} | {"lint.vlt"})
    for path in files:
        text = path.read_text()
        assert re.findall(r"^module (\w+)", text, re.M) == [path.stem]
        header = text[: text.index("\nmodule")]
        for part in (f"{path.stem}: ", "Throughput:", "Handshake:", f"Configuration: {name},"):
            assert part in header
        assert not re.search(r"/(home|root|tmp|usr|work)/|\bsrc\b", text)
        assert "\\" not in text  # no name needs an escape


def test_ports_of_the_core_are_stable():
    text = verilog.modules(preset("ews-cms-4"))["codeword_core"]
    for port in ("clk", "rst", "start", "busy", "done", "chunk_count", "codewords", "index_bits",
                 "raw", "overlap", "loader_index", "loader_chunk", "slot_index", "slot_chunk",
                 "weight_valid", "weight_ready", "weight_data", "activation_request", "activation",
                 "psum_read", "psum_read_address", "psum_read_data", "psum_write", "row",
                 "row_address", "finished", "count_cycles", "count_finished_rows"):
        assert re.search(rf"^  (input|output) (\[\d+:0\] )?{port};", text, re.M), port


def test_the_text_does_not_depend_on_what_was_exported_before():
    first = dict(verilog.modules(preset("ews-cms-4")))
    verilog.modules.cache_clear()
    verilog.modules(preset("ews-c-4"))
    assert verilog.modules(preset("ews-cms-4")) == first


def test_a_failed_export_leaves_the_last_one(tmp_path, monkeypatch):
    target = tmp_path / "out"
    verilog.export(preset("ews-4"), target)
    before = {path.name: path.read_text() for path in target.iterdir()}
    monkeypatch.setattr(verilog, "_lint", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        verilog.export(preset("ews-8"), target)
    assert {path.name: path.read_text() for path in target.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    monkeypatch.undo()
    verilog.export(preset("ews-8"), target)
    assert "ews-8" in (target / "codeword_core.v").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_other_files_are_not_taken_away(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        verilog.export(preset("ews-4"), tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_the_largest_array_repeats_no_module(tmp_path):
    files = verilog.export(preset("ews-cms-64"), tmp_path / "out")
    assert sum(path.stat().st_size for path in files) < 1e6


def _lint(name, directory):
    settings = environment("verilator")
    files = verilog.export(preset(name), directory)
    tool = shutil.which("verilator", path=settings["PATH"])
    done = subprocess.run([tool, "--lint-only", "-Wall", "--top-module", verilog.TOP,
                           str(directory / "lint.vlt"), *map(str, files)], check=False,
                          env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]
    assert "%Warning" not in done.stderr


@pytest.mark.parametrize("name", ["ews-16", "ews-cms-16", "ews-c-8", "ews-cm-8", "ws-4", "ws-cms-8"])
def test_lint_clean(name, tmp_path):
    _lint(name, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ws-64", "ews-64", "ews-c-64", "ews-cm-64", "ews-cms-64", "ws-cms-64"])
def test_lint_clean_at_full_size(name, tmp_path):
    _lint(name, tmp_path / "out")


def test_every_waiver_has_a_reason():
    lines = verilog._lint().splitlines()[1:]
    for reason, rule in zip(lines[::2], lines[1::2], strict=True):
        assert reason.startswith("// ")
        assert re.fullmatch(r"lint_off -rule [A-Z]+", rule)
