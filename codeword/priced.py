"""Tables of a network on an accelerator, from the figures of its JSON alone: of a run, an estimate or a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from codeword.tables import (
    AREA,
    COUNT,
    ENERGY,
    FREQUENCY,
    PROSE,
    RATE,
    RATIO,
    SHARE,
    TEXT,
    TIME,
    Column,
    Kind,
    Quantity,
    Table,
    engineering,
    joule,
    record,
)

if TYPE_CHECKING:
    from sim.estimate import Estimate

Fields = Mapping[str, Any]

EXACTLY = Kind(lambda n: f"{n:,}" + (f" ({engineering(n, '')})" if n >= 1e6 else ""))
"""A sum of a network: every digit, and how much that is."""


def costs(fields: Fields, counted: Kind = COUNT) -> dict[Column, Any]:
    """The sums by which machines are compared, the most important first.

    Args:
        counted: how MACs and cycles are written.
    """
    energy, area = fields["energy_pj"], fields["area_mm2"]
    return {
        Column("cycles", counted): fields["cycles"],
        Column("time", TIME): fields["time_s"],
        Column("energy", ENERGY): energy["total"],
        Column("area", AREA): area["total"],
        Column("TOPS/W", RATIO): fields["tops_per_watt"],
        Column("TOPS", RATE): fields["tops"],
        Column("utilization", SHARE): fields["utilization"],
        Column("TOPS/W with DRAM", RATIO): fields["tops_per_watt_with_dram"],
        Column("MACs", counted): fields["macs"],
        Column("technology"): fields["technology"],
    }


def sums(fields: Fields, title: str) -> Table:
    """The whole network in one record; TOPS are dense-equivalent, TOPS/W without DRAM unless they say so."""
    values = costs(fields, EXACTLY)
    values |= {
        Column("peak TOPS", RATE): fields["peak_tops"],
        Column("TOPS, physical", RATE): fields["physical_tops"],
    }
    values |= {Column("clock", FREQUENCY): fields["clock_hz"]}
    if fields["passes"] > 1:
        values[Column("passes", COUNT)] = fields["passes"]
    if fields["gated"] is not None:
        done = fields["physical_tops"] * fields["time_s"] * 1e12 / 2
        values[Column("gated by a zero", SHARE)] = fields["passes"] * fields["gated"] / done
    return record(title, values, "sums")


def causes(fields: Fields) -> dict[str, int]:
    """Cycles of every cause that has some."""
    stalls = fields["stall_cycles"]
    every = {"compute": fields["cycles"] - sum(stalls.values())} | stalls
    return {cause: cycles for cause, cycles in every.items() if cycles}


def parts(fields: Fields, field: str) -> dict[str, float | None]:
    """Energy or area by component, without the totals."""
    return {name: value for name, value in fields[field].items() if not name.startswith("total")}


def tables(fields: Fields, *, sources: bool = False) -> list[Table]:
    """Sums, cycles by cause, energy and area by component, layers.

    Args:
        sources: where each figure is from, in words, and not only how it is known.
    """
    title = f"{fields['network']} on {fields['accelerator']}"
    total = fields["energy_pj"]["total"]
    cycles = tuple((cause, n, n / fields["cycles"]) for cause, n in causes(fields).items())
    heads = (Column("cause"), Column("cycles", COUNT), Column("share", SHARE))
    energy = _parts("Energy", fields, "energy_pj", "energy_sources", Column("energy", ENERGY), total, sources)
    area = fields["area_mm2"]["total"]
    areas = _parts("Area", fields, "area_mm2", "area_sources", Column("area", AREA), area, sources)
    return [
        sums(fields, title),
        Table("Cycles by cause", heads, cycles, "causes"),
        energy,
        areas,
        _layers(fields),
    ]


def _parts(
    title: str, fields: Fields, field: str, sources: str, column: Column, total: float | None, words: bool
) -> Table:
    rows = []
    for name, value in parts(fields, field).items():
        origin = fields[sources][name]
        known = f"{origin['label']}: {origin['source']}" if words else origin["label"]
        if words and origin["uncertainty"]:
            known += f" ({origin['uncertainty']})"
        part = value / total if value is not None and total else None
        rows.append((name, value, part, known))
    how = Column("known by", PROSE if words else TEXT)
    return Table(
        title, (Column("component"), column, Column("share", SHARE), how), tuple(rows), title.lower()
    )


def _layers(fields: Fields) -> Table:
    excluded = fields["uncompressed"]
    columns = [
        Column("layer"),
        Column("cycles", COUNT),
        Column("utilization", SHARE),
        Column("energy", ENERGY),
        Column("MACs", COUNT),
        *([Column("uncompressed")] if excluded else []),
    ]
    rows = []
    for layer in fields["layers"]:
        energy = layer["energy_pj"]["total"]
        row = (layer["name"], layer["cycles"], layer["utilization"], energy, layer["macs"])
        rows.append(row + ((excluded.get(layer["name"], ""),) if excluded else ()))
    return Table("Layers", tuple(columns), tuple(rows), "layers", folds=True)


def layers(fields: Fields) -> Table:
    """Every layer with its cycles by cause and its energy by component, for programs."""
    rows = [{"layer": layer["name"]} | _row(layer) for layer in fields["layers"]]
    return _flat("Layers", rows)


def flat(runs: Mapping[str, Fields]) -> Table:
    """Likewise every run, with its area."""
    rows = []
    for name, fields in runs.items():
        of = {key: fields[key] for key in ("network", "accelerator", "technology")}
        area = {f"area {part}": mm2 for part, mm2 in fields["area_mm2"].items()}
        rows.append(
            {"run": name} | of | _row(fields) | {Column(part, AREA): mm2 for part, mm2 in area.items()}
        )
    return _flat("Runs", rows)


def _row(fields: Fields) -> dict[Any, Any]:
    """What a layer and a whole network have in common."""
    plain = ("macs", "cycles", "utilization", "time_s", "tops", "tops_per_watt", "tops_per_watt_with_dram")
    stalls = {"compute": fields["cycles"] - sum(fields["stall_cycles"].values())} | fields["stall_cycles"]
    return (
        {name: fields[name] for name in plain}
        | {f"cycles {cause}": cycles for cause, cycles in stalls.items()}
        | {Column(f"energy {name}", ENERGY): pj for name, pj in fields["energy_pj"].items()}
    )


def _flat(title: str, rows: list[dict[Any, Any]]) -> Table:
    """Rows that need not have the same columns."""
    heads = list(dict.fromkeys(head for row in rows for head in row))
    columns = tuple(head if isinstance(head, Column) else Column(head) for head in heads)
    return Table(title, columns, tuple(tuple(row.get(head) for head in heads) for row in rows))


def notes(found: Estimate) -> list[str]:
    """What a reader of the sums must know, and which figures nobody knows."""
    cost, said = found.cost, []
    if cost.unknown_energy:
        missing = _missing({name: cost.energy_sources[name].source for name in cost.unknown_energy})
        said.append(f"Energy is unknown: {missing}. The other parts add up to {joule(cost.known_pj)}.")
    if cost.unknown_area:
        missing = _missing({name: cost.area_mm2[name].source for name in cost.unknown_area})
        said.append(f"Area is unknown: {missing}.")
    if cost.clock_hz < found.accelerator.clock_hz:
        asked = engineering(found.accelerator.clock_hz, "Hz")
        said.append(f"The clock is not the requested {asked}: {cost.clock_source.why}.")
    if found.expected:
        said.append("Conflicts in the codebook ROM are expected ones, of evenly drawn assignments.")
    if found.mapping_energies != found.accelerator.technology:
        said.append(f"Energies of {found.mapping_energies} chose the mapping, since some are unknown.")
    if found.mapping_gap:
        said.append(
            f"Mapping: no schedule of a layer alone takes over {found.mapping_gap:.1%} less than the one chosen; "
            "proven, and mostly far from it."
        )
    return said + found.remarks


def _missing(reasons: Mapping[str, str]) -> str:
    """Components and why; those of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())


def comparison(runs: Mapping[str, Fields]) -> list[Table]:
    """Runs side by side: the sums, then cycles by cause, energy and area by component beside the first."""
    first, *_ = runs.values()
    heads = [Column("run"), *costs(first)]
    rows = [(name, *costs(fields).values()) for name, fields in runs.items()]
    found = [Table("Sums", tuple(heads), tuple(rows), "sums", upright=True)]
    networks = [fields["network"] for fields in runs.values()]
    bases = {name: fields["network"] for name, fields in runs.items()}
    if len(set(networks)) == len(networks):  # machines stay the same, networks are compared
        bases = dict.fromkeys(runs, "")
    cycles = {name: causes(fields) for name, fields in runs.items()}
    found.append(_beside("Cycles by cause", "causes", cycles, bases, COUNT))
    for title, field, kind in (("Energy", "energy_pj", ENERGY), ("Area", "area_mm2", AREA)):
        values = {name: parts(fields, field) for name, fields in runs.items()}
        found.append(_beside(title, title.lower(), values, bases, kind))
    return found


def _beside(
    title: str,
    name: str,
    runs: Mapping[str, Mapping[str, float | None]],
    bases: Mapping[str, str],
    kind: Kind,
) -> Table:
    """A row a run, the parts that weigh most in front.

    Args:
        bases: what runs are compared for: the first of each stands as it is, others as differences from it.
    """
    weights = {
        part: max(abs(run.get(part) or 0) for run in runs.values()) for run in runs.values() for part in run
    }
    order = sorted(weights, key=lambda part: -weights[part])
    more = Kind(lambda value: ("+" if value is not None and value > 0 else "") + kind.show(value), kind.unit)
    rows: list[tuple[Any, ...]] = []
    first: dict[str, Mapping[str, float | None]] = {}
    for label, run in runs.items():
        if bases[label] not in first:
            first[bases[label]] = run
            rows.append((label, *(Quantity(run.get(part, 0), kind) for part in order)))
            continue
        pairs = ((run.get(part, 0), first[bases[label]].get(part, 0)) for part in order)
        rows.append((label, *(None if a is None or b is None else a - b for a, b in pairs)))
    title += "; + and -: beside the first" + (" of the same network" if len(first) > 1 else "")
    return Table(
        title, (Column("run"), *(Column(part, more) for part in order)), tuple(rows), name, upright=True
    )
