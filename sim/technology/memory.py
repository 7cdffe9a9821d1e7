"""SRAM from tables of macros: looked up, interpolated inside their range, refused outside."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import ceil, exp, log
from pathlib import Path

from sim.errors import InputError, nearest
from sim.technology.provenance import Label

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Sram:
    """One memory and where its figures come from.

    Attributes:
        read_pj, write_pj: of one access of the whole width.
        leakage_mw: None where it cannot be interpolated.
    """

    read_pj: float
    write_pj: float
    leakage_mw: float | None
    area_mm2: float
    label: Label
    source: str
    uncertainty: str

    @property
    def access_pj(self) -> float:
        """Mean of a read and a write."""
        return (self.read_pj + self.write_pj) / 2


_Point = tuple[float, float, float, float]
"""Read pJ, write pJ, leakage mW, area mm2."""


@dataclass(frozen=True)
class Table:
    """Macros by node, width, ports and bytes.

    Attributes:
        composes: wider and deeper memories are made of several macros.
    """

    name: str
    source: str
    uncertainty: str
    composes: bool

    @cached_property
    def points(self) -> dict[tuple[int, int, int], dict[int, _Point]]:
        """By node, width and ports: figures by bytes, in rising order."""
        lines = (_FOLDER / f"sram_{self.name}.csv").read_text().splitlines()
        found: dict[tuple[int, int, int], dict[int, _Point]] = {}
        for row in csv.DictReader(line for line in lines if not line.startswith("#")):
            width = int(row["width_bits"])
            key = int(row["node_nm"]), width, int(row["ports"])
            found.setdefault(key, {})[int(row["words"]) * width // 8] = (
                float(row["read_pj"]),
                float(row["write_pj"]),
                1e-3 * float(row["leakage_uw"]),
                1e-6 * float(row["area_um2"]),
            )
        return {key: dict(sorted(sizes.items())) for key, sizes in found.items()}

    def memory(self, node_nm: float, size: int, width: int, ports: int = 1) -> Sram:
        """A memory of `size` bytes with words of `width` bits.

        Raises:
            InputError: outside the table.
        """
        widths = sorted(w for _, w, p in self.points if p == ports and w & (w - 1) == 0)
        if not widths:
            raise self._outside("ports", ports, sorted({p for _, _, p in self.points}))
        if not self.composes:
            return self._macro(node_nm, size, width, ports)
        parallel = ceil(width / widths[-1])
        part_width = min(width, widths[-1])
        macros = list(self.points.get((round(node_nm), part_width, ports), {int(size): None}))
        stacked = ceil(size / parallel / macros[-1])
        part = max(size / parallel / stacked, macros[0])
        one = self._macro(node_nm, part, part_width, ports)
        count = parallel * stacked
        leakage = None if one.leakage_mw is None else count * one.leakage_mw
        whole = replace(
            one,
            read_pj=parallel * one.read_pj,
            write_pj=parallel * one.write_pj,
            leakage_mw=leakage,
            area_mm2=count * one.area_mm2,
        )
        if count == 1 and part == size:
            return whole
        return replace(
            whole,
            label="assumed",
            source=f"{count} x {one.source}, {parallel} at a time, without what joins them",
        )

    def _macro(self, node_nm: float, size: float, width: int, ports: int) -> Sram:
        nodes = _around(sorted({n for n, _, p in self.points if p == ports}), node_nm)
        if nodes is None:
            raise self._outside("node_nm", node_nm, sorted({n for n, _, p in self.points if p == ports}))
        exact = len(nodes) == 1
        across = []
        for node in nodes:
            known = sorted(w for n, w, p in self.points if (n, p) == (node, ports))
            widths = _around(known, width)
            if widths is None:
                raise self._outside("width", width, known)
            along = []
            for w in widths:
                sizes = self.points[node, w, ports]
                places = _around(list(sizes), size)
                if places is None:
                    raise self._outside(f"bytes of a memory with words of {w} bits", size, list(sizes))
                exact &= len(places) == 1
                along.append(_between(places, [sizes[place] for place in places], size))
            exact &= len(widths) == 1
            across.append(_between(widths, along, width))
        read, write, leakage, area = _between(nodes, across, node_nm)
        what = f"{self.source}, {size / 1024:g} KiB, {width} bits, {ports} port{'s' * (ports > 1)}"
        if len(nodes) > 1:
            what += f", log-log between {nodes[0]} and {nodes[1]} nm"
        elif not exact:
            what += ", log-log between its sizes"
        return Sram(
            read,
            write,
            leakage if len(nodes) == 1 else None,
            area,
            "table" if exact else "fit",
            what,
            self.uncertainty,
        )

    def _outside(self, field: str, value: float, known: list[int]) -> InputError:
        return InputError(
            field, value, f"outside the table {self.name}", f"stay within {known[0]} to {known[-1]}"
        )


_TABLES = {
    table.name: table
    for table in (
        Table(
            "cacti7",
            "CACTI 7, single-ported, low-standby-power cells",
            "an analytical model; real macros are 2 to 3 times above it",
            composes=False,
        ),
        Table(
            "sg13g2",
            "SRAM macro of SG13G2, typical corner, Liberty",
            "data pins and wires not counted",
            composes=True,
        ),
    )
}


@lru_cache
def table(name: str) -> Table:
    """A table by name.

    Raises:
        InputError: unknown.
    """
    if name not in _TABLES:
        raise InputError("memory.table", name, "unknown", nearest(name, _TABLES))
    return _TABLES[name]


def _around(known: list[int], value: float) -> list[int] | None:
    """The known values that enclose one, or itself; None outside."""
    if value in known:
        return [int(value)]
    below, above = [k for k in known if k < value], [k for k in known if k > value]
    return [below[-1], above[0]] if below and above else None


def _between(places: list[int], points: list[_Point], at: float) -> _Point:
    """Log-log interpolation."""
    if len(places) == 1:
        return points[0]
    share = log(at / places[0]) / log(places[1] / places[0])
    a, b = points
    return tuple(exp((1 - share) * log(x) + share * log(y)) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]
