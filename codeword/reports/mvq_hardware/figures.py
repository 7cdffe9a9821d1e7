"""Our side of MVQ's tables and figures: each function gives the rows of one entry of published.toml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from statistics import median
from typing import Any

from codeword.reports.mvq_hardware import normalised, storage
from codeword.reports.mvq_hardware.machine import SIZES, Run, Setup, run
from codeword.reports.mvq_hardware.published import Rows, cells, published
from sim import accelerator, technology
from sim.technology.published import Part, Published

LABELS = {
    "WS": "ws",
    "WS-CMS": "ws-cms",
    "EWS": "ews",
    "EWS-C": "ews-c",
    "EWS-CM": "ews-cm",
    "EWS-CMS": "ews-cms",
}


class Runs:
    """What each network takes on each machine of a setup; every run is made once."""

    def __init__(self, using: Setup) -> None:
        self.using = using
        self._run = lru_cache(maxsize=None)(self._make)

    def _make(
        self, network: str, family: str, size: int, layers: str, changes: tuple[tuple[str, Any], ...]
    ) -> Run:
        return run(network, family, size, self.using, dict(changes), layers)

    def __call__(
        self, key: str, network: str, family: str, size: int, changes: Mapping[str, Any] | None = None
    ) -> Run:
        """Of the layers that table or figure `key` counts."""
        layers = self.using.networks[network].layers.get(key, "convolutions")
        return self._run(network, family, size, layers, tuple((changes or {}).items()))

    def efficiency(self, key: str, network: str, family: str, size: int, **changes: object) -> float:
        """TOPS/W, DRAM excluded."""
        return self(key, network, family, size, changes).tops_per_watt(self.using.energy)


def data_access(runs: Runs, only: str = "", base: str = "ews") -> Rows:
    """Figure 15.

    Args:
        only: one row of the figure, by default all.
        base: the 8-bit machine; the paper does not say which of the two.
    """

    def spent(network: str, family: str, size: int) -> float:
        return runs("figure15", network, family, size).data_access

    return {
        network: [spent(network, base, size) / spent(network, "ews-cms", size) for size in SIZES]
        for network in _rows("figure15", only)
    }


def speed(runs: Runs, only: str = "") -> Rows:
    """Figure 17."""

    def cycles(network: str, label: str) -> int:
        return runs("figure17", network, LABELS[label], 64).cycles

    labels = published()["figure17"].columns
    return {
        network: [cycles(network, "WS") / cycles(network, label) for label in labels]
        for network in _rows("figure17", only)
    }


def efficiency(runs: Runs, only: str = "") -> Rows:
    """Figure 19."""
    labels = published()["figure19"].columns
    return {
        row: [runs.efficiency("figure19", *_machine(row, label)) for label in labels]
        for row in _rows("figure19", only)
    }


def efficiency_gain(runs: Runs, only: str = "") -> Rows:
    """Figure 20."""

    def found(row: str, label: str) -> float:
        return runs.efficiency("figure20", *_machine(row, label))

    return {
        row: [found(row, label) / found(row, "WS") for label in published()["figure20"].columns]
        for row in _rows("figure20", only)
    }


def _rows(key: str, only: str) -> list[str]:
    return [only] if only else list(published()[key].rows)


def _machine(row: str, column: str) -> tuple[str, str, int]:
    network, size = row.rsplit("-", 1)
    return network, LABELS[column], int(size)


def ews_over_ws_by_network(runs: Runs) -> dict[str, Rows]:
    """Throughput and energy efficiency of EWS over WS: by network a value for each of SIZES."""

    def faster(network: str, size: int) -> float:
        return runs("ews", network, "ws", size).cycles / runs("ews", network, "ews", size).cycles

    def better(network: str, size: int) -> float:
        return runs.efficiency("ews", network, "ews", size) / runs.efficiency("ews", network, "ws", size)

    return {
        what: {network: [gain(network, size) for size in SIZES] for network in runs.using.networks}
        for what, gain in (("throughput", faster), ("energy efficiency", better))
    }


def ews_over_ws(runs: Runs) -> Rows:
    """The ranges of the EWS abstract, over MVQ's networks and all sizes."""
    every = {
        what: [value for row in rows.values() for value in row if value is not None]
        for what, rows in ews_over_ws_by_network(runs).items()
    }
    return {what: [min(values), max(values)] for what, values in every.items()}


SHARES = ("DRAM", "L2", "L1", "register files")


def shares(runs: Runs) -> Rows:
    """Figure 14's subject: data-access energy by memory, in % of what EWS spends on it.

    Returns:
        by network and size, SHARES of EWS and then of EWS-CMS.
    """
    found: Rows = {}
    for network in runs.using.networks:
        for size in SIZES:
            spent = [runs("figure15", network, family, size) for family in ("ews", "ews-cms")]
            parts = [
                part
                for one in spent
                for part in (
                    one.units["dram"],
                    one.units["l2"],
                    one.units["l1"],
                    one.data_access - one.units["dram"] - one.units["l2"] - one.units["l1"],
                )
            ]
            found[f"{network}-{size}"] = [100 * part / spent[0].data_access for part in parts]
    return found


def areas() -> Rows:
    """Table 7 from the fits; the tool itself has the printed values at the printed sizes."""
    tech = technology.load("mvq40")
    assert isinstance(tech, Published)
    arrays, found = tech.area.array, [tech.areas(accelerator.preset(f"ews-{size}")) for size in SIZES]

    def fitted(part: Part) -> list[float]:
        assert part.fit is not None
        units = [size**2 if part.fit.unit == "PE" else size / 16 for size in SIZES]
        return [part.fit.constant + part.fit.slope * n for n in units]

    crf = fitted(tech.area.crf)
    rows: Rows = {
        name: [area[key].value for area in found]
        for name, key in (("L1", "l1"), ("L2", "l2"), ("Others", "others"))
    }
    for name, key in (("WS", "ws"), ("EWS", "ews")):
        rows[name] = [*fitted(arrays[key])]
    for name, key in (("EWS-C, EWS-CM", "ews"), ("EWS-CMS", "ews-sparse")):
        rows[name] = [a + b for a, b in zip(fitted(arrays[key]), crf, strict=True)]
    return rows


def summary(runs: Runs) -> Rows:
    """Table 9, MVQ on ResNet-18."""
    machines = [runs.using.accelerator("ews-cms", size) for size in SIZES]
    fits = areas()
    total = [
        sum(value for row in ("EWS-CMS", "L1", "L2", "Others") if (value := fits[row][n]) is not None)
        for n in range(len(SIZES))
    ]
    return {
        "MACs": [float(machine.multipliers) for machine in machines],
        "peak TOPS": [machine.peak_tops for machine in machines],
        "area mm2": list(total),
        "TOPS/W, ResNet-18": [runs.efficiency("figure19", "resnet18", "ews-cms", size) for size in SIZES],
    }


def summary_alexnet(runs: Runs, only: str = "") -> Rows:
    """Table 9, AlexNet; at 50 % sparsity 8 of 16 weights are kept.

    Args:
        only: "TOPS/W" or all.
    """
    half = {"keep": 8}
    efficiencies: list[float | None] = [
        runs.efficiency("table9alexnet", "alexnet", "ews-cms", 64),
        runs.efficiency("table9alexnet", "alexnet", "ews-cms", 64, **half),
    ]
    if only:
        return {only: efficiencies}
    machines = [runs.using.accelerator("ews-cms", 64, changes=change) for change in ({}, half)]
    areas = [technology.load("mvq40").areas(machine).values() for machine in machines]
    totals = [
        None if any(part.value is None for part in parts) else sum(part.value or 0.0 for part in parts)
        for parts in areas
    ]
    return {
        "MACs": [float(machine.multipliers) for machine in machines],
        "peak TOPS": [machine.peak_tops for machine in machines],
        "area mm2": list(totals),
        "TOPS/W": efficiencies,
    }


def claims(runs: Runs) -> Rows:
    """The abstract's headlines, from our figures."""
    cms, ews = (runs.efficiency("figure19", "resnet18", family, 64) for family in ("ews-cms", "ews"))
    fits = areas()
    small, base = fits["EWS-CMS"][2], fits["EWS"][2]
    assert small is not None
    assert base is not None
    s2ta = published()["normalised"].rows["S2TA, 65 nm"][0]
    return {
        "energy efficiency over EWS": [cms / ews],
        "array smaller than EWS, %": [100 * (1 - small / base)],
        "energy efficiency over sparse accelerators": [
            runs.efficiency("table9alexnet", "alexnet", "ews-cms", 64, keep=8) / s2ta
        ],
    }


def printed_claims() -> dict[str, tuple[float, str]]:
    """What the paper's own tables give for its headlines, and how."""
    tables = published()
    best = tables["figure19"].rows["resnet18-64"]
    area = {name: row[2] for name, row in tables["table7"].rows.items()}
    alexnet = tables["table9alexnet"].rows["TOPS/W"][1]
    s2ta = tables["normalised"].rows["S2TA, 65 nm"][0]
    return {
        "energy efficiency over EWS": (
            best[5] / best[2],
            f"{best[5]} / {best[2]} TOPS/W, ResNet-18 at 64x64",
        ),
        "array smaller than EWS": (
            1 - area["EWS-CMS"] / area["EWS"],
            f"1 - {area['EWS-CMS']} / {area['EWS']} mm2: the claim as worded",
        ),
        "array smaller than EWS-C or EWS-CM": (
            1 - area["EWS-CMS"] / area["EWS-C, EWS-CM"],
            f"1 - {area['EWS-CMS']} / {area['EWS-C, EWS-CM']} mm2: what 55 % fits",
        ),
        "energy efficiency over S2TA at 65 nm": (
            alexnet / s2ta,
            f"{alexnet} / {s2ta} TOPS/W, AlexNet, 50 % sparsity",
        ),
    }


FIGURES: dict[str, Callable[..., Rows]] = {
    "figure15": data_access,
    "figure17": speed,
    "figure19": efficiency,
    "figure20": efficiency_gain,
}
"""Those that the machine's free parameters move."""


def outcome(using: Setup) -> dict[str, Rows]:
    """Every figure that the machine moves, and TOPS/W of Table 9's AlexNet.

    TOPS/W has one absolute scale for all cells: here the one that fits Figure 19 best, so that a variant is
    not blamed for a MAC energy chosen for another machine.
    """
    runs = Runs(using)
    found = {key: figure(runs) for key, figure in FIGURES.items()}
    scale = median(cell.published / cell.ours for cell in cells("figure19", found["figure19"]) if cell.ours)
    found["table9alexnet"] = summary_alexnet(runs, only="TOPS/W")
    for key in ("figure19", "table9alexnet"):
        found[key] = {
            row: [value and value * scale for value in values] for row, values in found[key].items()
        }
    return found


def all_tables(runs: Runs) -> dict[str, Rows]:
    """Every table that has a counterpart of ours, by key of published.toml."""
    return {
        "claims": claims(runs),
        "table7": areas(),
        "table9": summary(runs),
        "table9alexnet": summary_alexnet(runs),
        "normalised": normalised.comparators(),
        **{key: figure(runs) for key, figure in FIGURES.items()},
        "ews": ews_over_ws(runs),
        "macs": storage.dense_macs(),
        "pruned": storage.pruned_macs(),
        "ratios": storage.ratios(),
    }
