"""An export that cannot be checked is refused with file and line, whatever is wrong with it."""

from __future__ import annotations

import shutil

import pytest

from rtl import export
from rtl.verify import build, given, verify_random
from sim.accelerator import load, preset
from sim.errors import InputError


@pytest.fixture
def exported(tmp_path):
    export.export(preset("ews-4"), tmp_path / "rtl")
    return tmp_path / "rtl"


def _replace_line(path, number, text):
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("simulator", ["icarus", "cxxrtl", pytest.param("verilator", marks=pytest.mark.slow)])
def test_a_syntax_error_has_file_and_line(exported, simulator):
    _replace_line(exported / "codeword_prf.v", 30, "  wire wire;")
    with pytest.raises(InputError, match=r"rtl = '.*/codeword_prf\.v': line 30: syntax error.* Fix: "):
        verify_random(preset("ews-4"), 0, simulator, exported)


def test_what_is_missing_or_no_text_is_named(exported):
    prf = exported / "codeword_prf.v"
    text = prf.read_text()
    for content in (b"\x7fELF\x00\x01", b"module \xff\xfe", b"\xff\xfem\x00"):
        prf.write_bytes(content)
        with pytest.raises(InputError, match=r"codeword_prf\.v': no text"):
            verify_random(preset("ews-4"), 0, "icarus", exported)
    prf.unlink()
    with pytest.raises(InputError, match=r"codeword_core\.v': line \d+: .*codeword_prf"):
        verify_random(preset("ews-4"), 0, "icarus", exported)
    prf.write_text(text)
    top = exported / "codeword_accelerator.v"
    top.write_text(top.read_text().replace("m_axi_maps_bvalid", "m_axi_maps_b_valid"))
    with pytest.raises(InputError, match=r"does not fit the test bench: .*m_axi_maps_bvalid"):
        verify_random(preset("ews-4"), 0, "icarus", exported)


def test_the_export_of_another_machine(exported, tmp_path):
    other = load("ews-4", {"wrf_depth": 8, "name": "other"})
    with pytest.raises(InputError, match="export of ews-4, with wrf_depth = 16; other has wrf_depth = 8"):
        verify_random(other, 0, "icarus", exported)
    # Another clock is the same Verilog, another name too.
    assert given.read(exported, load("ews-4", {"clock_hz": 1e9, "name": "mine"}))
    for text in ("{", '{"machine": {"name": 3}}', "[]"):
        (exported / "codeword_export.json").write_text(text)
        assert build.sources(other, exported)
    shutil.rmtree(exported)
    with pytest.raises(InputError, match="holds no Verilog"):
        build.sources(preset("ews-4"), exported)
