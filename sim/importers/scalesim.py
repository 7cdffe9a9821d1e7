"""Layer shapes of a SCALE-Sim topology: a list of layers in CSV, convolutions or matrix products."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from sim.errors import InputError
from sim.importers.result import Imported
from sim.shapes import ConvShape, Shape

_CONV = (
    "IFMAP height",
    "IFMAP width",
    "filter height",
    "filter width",
    "channels",
    "num filter",
    "stride height",
    "stride width",
)
_GEMM = ("M", "N", "K")


@dataclass(frozen=True)
class _Row:
    """A line of the file: its name and its numbers, which know where they stand."""

    file: str
    line: int
    name: str
    cells: tuple[str, ...]

    def has_number(self, column: int) -> bool:
        """Whether an optional number, which words may stand for, is there."""
        return column < len(self.cells) and self.cells[column].isdecimal()

    def number(self, column: int, title: str) -> int:
        """A positive whole number in a column, from 0 behind the name.

        Raises:
            InputError: no such number, with file, line and column.
        """
        text = self.cells[column] if column < len(self.cells) else ""
        if not text.isdecimal() or len(text) > 18 or int(text) < 1:  # Python reads up to 4,300 digits
            raise InputError(
                f"{self.file}, line {self.line}, column {column + 2} ({title})",
                text,
                "must be a positive whole number",
                "write the layer's real size",
            )
        return int(text)


def read(path: str | Path) -> Imported:
    """Layer shapes of a SCALE-Sim topology.

    Maps are already padded there, so the shapes have no padding. As there, a layer with "DP" in its
    name is depth-wise, with `num filter` filters for each channel. Words behind the numbers, such as
    version 3's sparsity, are ignored with a note. SCALE-Sim lets the last row and column of windows
    reach beyond the map; the shapes are the true convolutions, and a note gives the difference. The
    list has no edges: a layer is chained where its channels and size fit what the one before wrote.
    Names that come twice are numbered, with a note; lines that begin with # are comments; cells may be
    separated by semicolons or tabs, as the header shows.

    Raises:
        InputError: an unreadable file, an unknown header or that of a layout file, a layer without a name,
            or a bad number, with line and column.
    """
    shapes: list[Shape] = []
    source_macs, larger, ignored = 0, [], False
    gemm, rows, notes = _rows(str(path))
    for row in rows:
        shape = _product(row) if gemm else _convolution(row)
        counted = shape.macs if gemm else _scalesim_macs(shape)
        ignored = ignored or any(not cell.isdecimal() for cell in row.cells)
        source_macs += counted
        if counted != shape.macs:
            larger.append(f"{shape.name} ({counted - shape.macs:,})")
        shapes.append(replace(shape, chained=_follows(shapes, shape)))
    if larger:
        notes.append(
            "SCALE-Sim counts windows that reach beyond the map, which no convolution computes; "
            f"MACs left out: {', '.join(larger)}"
        )
    if ignored:
        notes.append("words behind the numbers are ignored; sparsity is the accelerator's pattern here")
    return Imported(str(path), shapes, source_macs, tuple(notes))


def _rows(file: str) -> tuple[bool, list[_Row], list[str]]:
    """Whether the layers are matrix products, the lines below the header, and notes on their names."""
    lines = _lines(file)
    top, header = lines[0] if lines else (1, [])
    words = [cell.lower() for cell in header]
    gemm = words[1:4] == ["m", "n", "k"]
    if any("intraline" in word for word in words):
        raise InputError(
            f"{file}, line {top}",
            ", ".join(header),
            "is the header of a SCALE-Sim layout file: how tensors lie in memory, not what is computed",
            "give the topology file",
        )
    if not gemm and not (len(words) > 6 and "ifmap" in words[1]):
        raise InputError(
            f"{file}, line {top}",
            ", ".join(header),
            "is no SCALE-Sim header",
            f"start with Layer name, {', '.join(_CONV)}, or with Layer, {', '.join(_GEMM)}",
        )
    rows = [_Row(file, number, cells[0], _without_commas(cells[1:])) for number, cells in lines[1:]]
    if not rows:
        raise InputError("network", file, "has no layer", "write a line for each layer below the header")
    return gemm, *_named_apart(rows)


def _lines(file: str) -> list[tuple[int, list[str]]]:
    """Number and cells of each line that is neither empty nor a comment; the first one is the header.

    Cells end at what the header separates them with: commas, semicolons or tabs.
    """
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            texts = [(n, line) for n, line in enumerate(stream, 1) if not line.lstrip().startswith("#")]
        header = next((line for _, line in texts if line.strip()), "")
        separator = max(",;\t", key=header.count)
        found = csv.reader((line for _, line in texts), delimiter=separator)
        # A name in quotes may span lines: the reader says how many it has taken.
        lines = [(texts[found.line_num - 1][0], [cell.strip() for cell in cells]) for cells in found]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("network", file, str(error), "give a readable SCALE-Sim topology") from None
    return [(number, cells) for number, cells in lines if any(cells)]


def _named_apart(rows: Sequence[_Row]) -> tuple[list[_Row], list[str]]:
    """The rows with names of their own, and a note where some had to be made.

    Raises:
        InputError: a layer without a name.
    """
    taken = {row.name for row in rows}
    seen: set[str] = set()
    named, made = [], []
    for row in rows:
        if not row.name:
            raise InputError(
                f"{row.file}, line {row.line}, column 1 (layer name)",
                row.name,
                "the layer has no name",
                "give every layer a name",
            )
        name = row.name
        if name in seen:
            name = next(new for n in count(2) if (new := f"{row.name}#{n}") not in taken)
            taken.add(name)
            made.append(f"{name} (line {row.line})")
        seen.add(row.name)
        named.append(replace(row, name=name))
    return named, [f"layers that share a name are told apart: {', '.join(made)}"] if made else []


def _without_commas(cells: Sequence[str]) -> tuple[str, ...]:
    """Cells without the empty ones that trailing commas leave."""
    filled = [number for number, cell in enumerate(cells, 1) if cell]
    return tuple(cells[: filled[-1]]) if filled else ()


def _convolution(row: _Row) -> ConvShape:
    height, width, kernel_h, kernel_w, channels, outputs, stride_h = (
        row.number(column, title) for column, title in enumerate(_CONV[:-1])
    )
    if kernel_h > height or kernel_w > width:
        column = 2 if kernel_h > height else 3
        raise InputError(
            f"{row.file}, line {row.line}, column {column + 2} ({_CONV[column]})",
            row.cells[column],
            f"larger than the IFMAP of {height}x{width}",
            "give the size of the IFMAP with its padding",
        )
    stride_w = row.number(7, _CONV[7]) if row.has_number(7) else stride_h
    groups = channels if "DP" in row.name else 1
    return ConvShape(
        row.name,
        channels,
        groups * outputs,
        (kernel_h, kernel_w),
        (stride_h, stride_w),
        size=(height, width),
        groups=groups,
    )


def _product(row: _Row) -> ConvShape:
    """[M, K] x [K, N], M tokens of K channels to N outputs, as often as a fourth number says."""
    tokens, outputs, channels = (row.number(column, title) for column, title in enumerate(_GEMM))
    batch = row.number(3, "batch") if row.has_number(3) else 1
    return ConvShape(row.name, batch * channels, batch * outputs, size=(tokens, 1), groups=batch)


def _scalesim_macs(shape: ConvShape) -> int:
    """As SCALE-Sim counts them, with ceil((H - F + S) / S) rows of windows."""
    rows, columns = (
        -(-(shape.size[axis] - shape.kernel[axis] + shape.stride[axis]) // shape.stride[axis])
        for axis in (0, 1)
    )
    return rows * columns * shape.weights


def _follows(before: Sequence[Shape], shape: ConvShape) -> bool:
    """Whether a layer can read what the one before it wrote, or that with a padding of its kernel."""
    if not before or not isinstance(before[-1], ConvShape):
        return False
    last = before[-1]
    if last.outputs != shape.channels:
        return False
    grown = (shape.size[0] - last.out_h, shape.size[1] - last.out_w)
    return all(0 <= g < k for g, k in zip(grown, shape.kernel, strict=True))
