"""Where results go: checked before the work, written as a whole, under the name that was given."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from codeword import api
from rtl import owned
from sim.files import write_whole
from tests.codeword.conftest import Command
from tests.codeword.test_bad_input import assert_refused


def worked(*_: object, **__: object) -> None:
    raise AssertionError("the output was not checked before the work")


@pytest.fixture
def verbs(network: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[object, ...]]:
    """Every verb that writes, ready for the place to write to; none may come to its work."""
    for name in ("compile", "compress", "simulate", "verilog"):
        monkeypatch.setattr(api, name, worked)
    monkeypatch.setattr("rtl.synth.read", worked)
    monkeypatch.setattr("codeword.reports.registry.import_module", worked)
    return {
        "compress": ("compress", "resnet20-fashion", "-o"),
        "simulate": ("simulate", network, "-a", "ews-cms-16", "-o"),
        "verilog": ("verilog", "-a", "ews-4", "-o"),
        "compile": ("compile", network, "-a", "ews-cms-16", "-o"),
        "synth": ("synth", "-a", "ews-4", "--liberty", "cells.lib", "-o"),
        "report": ("report", "scaling", "--out"),
    }


FILES = {"compress": ".safetensors", "simulate": ".npy", "report": ".json"}


@pytest.mark.parametrize("verb", ["compress", "simulate", "verilog", "compile", "synth", "report"])
def test_a_place_in_no_folder(
    codeword: Command, verbs: dict[str, tuple[object, ...]], tmp_path: Path, verb: str
) -> None:
    place = tmp_path / "missing" / f"x{FILES.get(verb, '')}"
    assert_refused(codeword(*verbs[verb], place), str(place), "there is no directory", "make it first")
    assert not place.parent.exists()


@pytest.mark.parametrize("verb", ["compress", "simulate", "verilog", "compile", "synth", "report"])
def test_a_folder_that_is_read_only(
    codeword: Command,
    verbs: dict[str, tuple[object, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    place = tmp_path / f"x{FILES.get(verb, '')}"
    assert_refused(codeword(*verbs[verb], place), str(place), "cannot be written to")


@pytest.mark.parametrize("verb", FILES)
def test_a_folder_or_device_in_place_of_a_file(
    codeword: Command, verbs: dict[str, tuple[object, ...]], tmp_path: Path, verb: str
) -> None:
    place = tmp_path / f"x{FILES[verb]}"
    place.mkdir()
    assert_refused(codeword(*verbs[verb], place), str(place), "is a directory")
    place.rmdir()
    os.mkfifo(place)
    assert_refused(codeword(*verbs[verb], place), str(place), "is no regular file")


@pytest.mark.parametrize("verb", ["verilog", "compile", "synth"])
def test_a_file_in_place_of_a_folder(
    codeword: Command, verbs: dict[str, tuple[object, ...]], tmp_path: Path, verb: str
) -> None:
    (tmp_path / "x").write_text("mine")
    assert_refused(codeword(*verbs[verb], tmp_path / "x"), "is no directory")
    assert (tmp_path / "x").read_text() == "mine"


@pytest.mark.parametrize("verb", FILES)
def test_a_suffix_that_says_something_else(
    codeword: Command, verbs: dict[str, tuple[object, ...]], tmp_path: Path, verb: str
) -> None:
    assert_refused(codeword(*verbs[verb], tmp_path / "x.zip"), "x.zip", f"ends in {FILES[verb]}")


def test_outputs_lie_under_the_name_that_was_given(codeword: Command, network: Path, tmp_path: Path) -> None:
    assert codeword("simulate", network, "-a", "ews-cms-16", "-o", tmp_path / "x").status == 0
    assert np.load(tmp_path / "x").shape == (1, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.safetensors", "x"]


def test_a_file_is_written_whole_and_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    monkeypatch.setattr(os, "replace", worked)
    with pytest.raises(AssertionError):
        write_whole(target, b"newer")
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_verilog_leaves_the_files_of_the_user(codeword: Command, tmp_path: Path) -> None:
    folder = tmp_path / "rtl"
    folder.mkdir()
    (folder / "notes.md").write_text("mine")
    export = ("verilog", "-a", "ews-4", "-o", folder)
    assert codeword(*export).status == 0
    (folder / "codeword_pe.v").write_text("edited")
    assert_refused(codeword(*export), "codeword_pe.v", "was edited", "--force")
    assert (folder / "codeword_pe.v").read_text() == "edited"
    assert codeword(*export, "--force").status == 0
    assert (folder / "codeword_pe.v").read_text() != "edited"
    assert (folder / "notes.md").read_text() == "mine"
    assert (folder / owned.MANIFEST).exists()
