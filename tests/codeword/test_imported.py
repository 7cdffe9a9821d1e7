"""Networks of other tools on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.codeword.conftest import Command, Result
from tests.codeword.test_bad_input import assert_refused
from tests.sim.importers.test_importers_onnx import node, save


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A convolution and an operator that nobody knows."""
    return save(
        tmp_path / "net.onnx",
        [node("Conv", "x w", "c"), node("Hardmax", "c", "odd")],
        {"w": (4, 3, 1, 1)},
        dims=("N", 3, 8, 8),
    )


def test_estimate_of_an_onnx_file(codeword: Command, tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", [node("Conv", "x w", "c")], {"w": (4, 3, 3, 3)})
    result = codeword("estimate", path, "-a", "ews-16", "--json")
    assert result.status == 0
    assert json.loads(result.out)["macs"] == 36 * 27 * 4
    assert result.err == f"{path}: 1 layers, 3,888 MACs; the source counts 3,888\n"


def test_estimate_of_a_topology(codeword: Command, tmp_path: Path) -> None:
    path = tmp_path / "net.csv"
    path.write_text("Layer, M, N, K,\nqkv, 5, 24, 8,\n")
    result = codeword("estimate", path, "-a", "ews-16", "--json")
    assert json.loads(result.out)["macs"] == 960
    assert "960 MACs; the source counts 960" in result.err


def test_unknown_operators(codeword: Command, odd: Path) -> None:
    assert_refused(
        codeword("estimate", odd, "-a", "ews-16"), "node odd = 'Hardmax'", "--treat-as-vector Hardmax"
    )
    result = codeword("estimate", odd, "-a", "ews-16", "--treat-as-vector", "Hardmax", "--json")
    assert [layer["name"] for layer in json.loads(result.out)["layers"]][:2] == ["c", "odd"]
    assert "batch N taken as 1" in result.err
    assert_refused(
        codeword("estimate", "resnet18", "-a", "ews-16", "--treat-as-vector", "Hardmax"),
        "--treat-as-vector = 'Hardmax'",
        "resnet18 is no .onnx file",
        ".onnx",
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["x=1,3,8"], ("--input-shape x = '1,3,8'", "4 dimensions")),
        (["y=1,3,8,8"], ("--input-shape = 'y'", "is no input", "use one of x")),
        (["x=1,3,8,b"], ("--input-shape = 'x=1,3,8,b'", "write for example x=1,3,224,224")),
        ([], ("dimension 'H' at node c", "--input-shape x=1,3,H,W")),
    ],
)
def test_sizes_that_a_file_leaves_open(
    codeword: Command, tmp_path: Path, given: list[str], told: tuple[str, ...]
) -> None:
    path = save(tmp_path / "net.onnx", [node("Conv", "x w", "c")], {"w": (4, 3, 3, 3)}, dims=(1, 3, "H", "W"))
    options = [word for text in given for word in ("--input-shape", text)]
    assert_refused(codeword("estimate", path, "-a", "ews-16", *options), *told)
    result = codeword("estimate", path, "-a", "ews-16", "--json", "--input-shape", "x=1,3,10,7")
    assert json.loads(result.out)["macs"] == 8 * 5 * 27 * 4


def test_only_shapes_are_known(codeword: Command, odd: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "plain.onnx", [node("Conv", "x w", "c")], {"w": (4, 3, 1, 1)})
    assert_refused(codeword("simulate", path, "-a", "ews-16"), "plain.onnx", "no weights")


def test_without_onnx_the_message_says_what_to_install(odd: Path) -> None:
    code = (
        "import sys; sys.modules['onnx'] = None; "
        f"sys.argv = ['codeword', 'estimate', {str(odd)!r}, '-a', 'ews-8']; "
        "from codeword.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert_refused(
        Result(done.returncode, done.stdout, done.stderr), "'onnx'", "pip install 'codeword[onnx]'"
    )
