"""SCALE-Sim topologies in CSV."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import InputError
from sim.importers.scalesim import read
from sim.shapes import ConvShape

HEADER = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "net.csv"


def test_convolutions(file: Path) -> None:
    """A stride of two with a row to spare, one that divides, and an unrelated layer."""
    file.write_text(
        HEADER + "Conv1, 9, 9, 3, 3, 2, 4, 2,\nConv2, 6, 6, 3, 3, 4, 8, 1,\n\nSkip, 9, 9, 1, 1, 2, 8, 2,\n"
    )
    found = read(file)
    assert found.shapes == [
        ConvShape("Conv1", 2, 4, (3, 3), (2, 2), size=(9, 9), chained=False),
        ConvShape("Conv2", 4, 8, (3, 3), size=(6, 6)),
        ConvShape("Skip", 2, 8, stride=(2, 2), size=(9, 9), chained=False),
    ]
    assert found.macs == found.source_macs == 16 * 18 * 4 + 16 * 36 * 8 + 25 * 16
    assert found.notes == ()


def test_windows_beyond_the_map_are_left_out_and_told(file: Path) -> None:
    """ceil((224 - 7 + 2) / 2) = 110 rows there, 109 of a true convolution."""
    file.write_text(HEADER + "Conv1, 224, 224, 7, 7, 3, 64, 2,\n")
    found = read(file)
    assert found.macs == 109**2 * 147 * 64
    assert found.source_macs == 110**2 * 147 * 64
    assert f"Conv1 ({found.source_macs - found.macs:,})" in found.notes[0]
    assert f"{found.source_macs:,}" in found.summary()[0]


def test_two_strides_and_sparsity(file: Path) -> None:
    file.write_text(
        HEADER.replace("Strides,", "Strides, Stride width, Sparsity,")
        + "a, 8, 8, 2, 2, 1, 4, 2, 3, 1:2,\nb, 8, 8, 2, 2, 1, 4, 2, 2:4,\n"
    )
    found = read(file)
    assert [shape.stride for shape in found.shapes if isinstance(shape, ConvShape)] == [(2, 3), (2, 2)]
    assert "sparsity is" in found.notes[-1]


def test_depthwise_and_words(file: Path) -> None:
    """One filter for each of 8 channels, as SCALE-Sim repeats such a layer."""
    file.write_text(HEADER + "Conv1, 8, 8, 3, 3, 3, 8, 1, NPU\nDP2, 8, 8, 3, 3, 8, 1, 1, #dw\n")
    found = read(file)
    assert found.shapes[1] == ConvShape("DP2", 8, 8, (3, 3), size=(8, 8), groups=8)
    assert found.macs == found.source_macs == 36 * 27 * 8 + 36 * 9 * 8
    assert "words" in found.notes[0]


def test_matrix_products(file: Path) -> None:
    file.write_text("Layer, M, N, K,\nqkv, 5, 24, 8,\nout, 5, 8, 24,\nbatched, 5, 6, 4, 2,\n")
    found = read(file)
    assert found.shapes == [
        ConvShape("qkv", 8, 24, size=(5, 1), chained=False),
        ConvShape("out", 24, 8, size=(5, 1)),
        ConvShape("batched", 8, 12, size=(5, 1), groups=2),
    ]
    assert found.macs == found.source_macs == 2 * 5 * 24 * 8 + 2 * 5 * 6 * 4


def test_layers_that_share_a_name_are_told_apart(file: Path) -> None:
    """Also where the file itself has the name that would come next."""
    line = "9, 9, 3, 3, 2, 4, 1,\n"
    file.write_text(HEADER + "".join(f"{name}, {line}" for name in ("a", "a#2", "b", "a", "a", "b")))
    found = read(file)
    assert [shape.name for shape in found.shapes] == ["a", "a#2", "b", "a#3", "a#4", "b#2"]
    assert found.notes[-1].endswith("a#3 (line 5), a#4 (line 6), b#2 (line 7)")
    assert found.macs == found.source_macs == 6 * 49 * 18 * 4


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("comment", ["", "# stage 1, of 2; by\thand\n"])
def test_separators_and_comments(file: Path, separator: str, comment: str) -> None:
    header, line = (text.replace(",", separator) for text in (HEADER, "Conv~ first, 9, 9, 3, 3, 2, 4, 1,\n"))
    file.write_text(comment + header + comment + line.replace("Conv~ first", '"Conv, first"') + comment)
    (shape,) = read(file).shapes
    assert shape == ConvShape("Conv, first", 2, 4, (3, 3), size=(9, 9), chained=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + "a, 9, x, 3, 3, 2, 4, 2,\n",
            r"net.csv, line 2, column 3 \(IFMAP width\) = 'x': must be a positive whole number. Fix: write",
        ),
        (HEADER + "a, 9, 9, 3, 3, 2, 4,\n", r"line 2, column 8 \(stride height\) = ''"),
        (HEADER + "\na, 9, 9, 3, 3, 0, 4, 1\n", r"line 3, column 6 \(channels\) = '0'"),
        (
            HEADER + "a, 9, 9, 3, 11, 2, 4, 1\n",
            r"line 2, column 5 \(filter width\) = '11': larger than the IFMAP of 9x9. Fix: .* with its padding",
        ),
        (HEADER + ", 9, 9, 3, 3, 2, 4, 1\n", r"line 2, column 1 \(layer name\) = '': the layer has no name"),
        (
            "# x\n" + HEADER.replace("Height,", "Height Intraline Factor,") + "a, 4, 56, 1, 1, 3, 32, 1\n",
            r"net.csv, line 2 = 'Layer name, .*': is the header of a SCALE-Sim layout .* Fix: give the topology",
        ),
        (HEADER, "has no layer. Fix: write a line"),
        ("Layer, M, N, K,\na, 5, 4,\n", r"line 2, column 4 \(K\) = ''"),
        ("name; height\n", r"line 1 = 'name, height': is no SCALE-Sim header. Fix: start with Layer name"),
        ("", "line 1 = ''"),
    ],
)
def test_errors_name_line_and_column(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read(file)


def test_unreadable_file(file: Path) -> None:
    with pytest.raises(InputError, match=r"network = .*net.csv.*No such file"):
        read(file)
    file.write_bytes(b"\xff\xfe\x00,")
    with pytest.raises(InputError, match=r"network = .*net.csv.*Fix: give a readable"):
        read(file)
