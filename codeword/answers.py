"""What verbs answer, as tables: the figures are in `codeword.priced`, the forms in `codeword.rendering`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from codeword import priced
from codeword.tables import COUNT, SHARE, Answer, Column, Kind, Table
from sim.saved import document

if TYPE_CHECKING:
    from codeword.reports.registry import Report
    from codeword.simulated import Simulated
    from rtl.synth import Synthesis
    from rtl.verify import VerifyResult
    from sim.estimate import Estimate

_UM2 = Kind(lambda um2: f"{um2:,.0f}", "um2")
_NS = Kind(lambda ns: "" if ns is None else f"{ns:.2f} ns", "ns")
_MM2 = Kind(lambda mm2: f"{mm2:.4f} mm2", "mm2")


def estimate(found: Estimate, whole: bool = False) -> Answer:
    """A network's sums, cycles by cause, energy and area by component, layers, and notes."""
    fields = found.document()
    return Answer(fields, priced.tables(fields, sources=whole), priced.notes(found), priced.layers(fields))


def simulate(found: Simulated, whole: bool = False) -> Answer:
    """Likewise, and whether the values are right."""
    fields = found.document()
    made = found.network.metadata.get("weights")
    notes = [f"Synthetic network: weights {made}."] if fields["synthetic"] else []
    exact = "equals" if found.bit_exact else "DOES NOT equal"
    images = f"{fields['images']} images in {found.wall_s:.2f} s"
    notes += [*priced.notes(found.costed), f"{images}; every tensor {exact} the functional model."]
    return Answer(
        fields, priced.tables(fields, sources=whole), notes, priced.layers(fields), ok=bool(found.bit_exact)
    )


def reports(listed: Iterable[Report]) -> Answer:
    """A row for each stage of each report."""
    listed = list(listed)
    columns = tuple(map(Column, ("name", "stage", "takes, on one core", "shows", "out")))
    rows = []
    for report in listed:
        first = (report.shows, str(report.out))
        for stage in (*report.stages, *report.others):
            asked = "" if stage in report.stages else "; only with --stage"
            rows.append((report.name, stage.name, stage.takes + asked, *first))
            first = ("", "")
    found = Table("codeword report NAME", columns, tuple(rows))
    return Answer(document("report", {"reports": [one.to_json() for one in listed]}), [found])


def synthesis(found: Sequence[Synthesis]) -> Answer:
    """The libraries in one table, and the components for each."""
    sums = Table(
        "Libraries",
        (
            Column("library"),
            Column("cells", COUNT),
            Column("area", _MM2),
            Column("flip-flop area", SHARE),
            Column("path", _NS),
        ),
        tuple((r.library, r.cells, r.area * 1e-6, r.flip_flop_area / r.area, r.path_ns) for r in found),
        "libraries",
    )
    depth = {
        "opensta": "paths by OpenSTA, through the components inside; nets between components have no buffers",
        "abc": f"paths by abc, within one component only: {found[0].no_opensta}",
    }
    note = f"Before placement, without wires and clock tree; {depth[found[0].timing]}."
    fields = document("synth", {"libraries": [result.to_json() for result in found]})
    return Answer(
        fields, [sums, *map(_components, found)], [note], None if len(found) > 1 else _components(found[0])
    )


def _components(result: Synthesis) -> Table:
    columns = (
        Column("component"),
        Column("area in all", _MM2),
        Column("share", SHARE),
        Column("path", _NS),
        Column("instances", COUNT),
        Column("area each", _UM2),
        Column("cells each", Kind(lambda n: f"{n:,}" if isinstance(n, int) else n)),
        Column("flip-flops each", COUNT),
    )
    rows = tuple(
        (
            c.kind,
            c.total_area * 1e-6,
            c.total_area / result.area,
            c.path_ns,
            c.instances,
            c.area,
            "black box" if c.black_box else sum(c.cells.values()),
            c.flip_flops,
        )
        for c in result.components
    )
    title = f"{result.top} in {result.library}, for a clock of {result.period_ns:.3g} ns"
    return Table(title, columns, rows, result.library)


def verify(found: VerifyResult, whole: bool = False) -> Answer:
    """Cycles by model and RTL, by layer where one network ran, and the verdict."""
    columns = (
        Column("layer"),
        Column("words compared", COUNT),
        Column("cycles of the model", COUNT),
        Column("cycles of the RTL", COUNT),
    )
    rows = tuple((one.name, one.words_compared, one.cycles_model, one.cycles_rtl) for one in found.layers)
    if found.networks > 1:
        rows = ((f"all {len(rows)}", found.words_compared, found.cycles_model, found.cycles_rtl),)
    table = Table("Layers", columns, rows, folds=True)
    return Answer(
        found.document(),
        [table],
        [*found.warnings, verdict(found), *_waves(found), *_idle(found, whole)],
        ok=found.equal,
    )


def _waves(found: VerifyResult) -> list[str]:
    if found.shown is None:
        return []
    first = f"; first in time differs {found.first_cycle}" if found.first_cycle else ""
    cycles = f"cycles {found.shown[0]:,} to {found.shown[1]:,}"
    return [f"Waves of {cycles} in {' and '.join(found.waves)}{first}."]


def verdict(found: VerifyResult) -> str:
    """What a comparison of RTL and engine found, in two lines."""
    ran = "1 network" if found.networks == 1 else f"{found.networks} networks"
    said = "equal" if found.equal else f"DIFFERENT: {found.first_mismatch}"
    layers = f"{len(found.layers)} layer" + ("s" if len(found.layers) != 1 else "")
    return (
        f"{ran}, {layers}: {found.words_compared:,} words compared, "
        f"{found.mismatches} mismatches; cycles: model {found.cycles_model:,}, RTL {found.cycles_rtl:,}. "
        f"{said}.\n{found.wall_s:.1f} s with {found.simulator}, {found.build_s:.1f} s to build; "
        f"{found.cycles_per_second:,.0f} cycles a second."
    )


def _idle(found: VerifyResult, whole: bool) -> list[str]:
    """What the runs say nothing about, if that is known; ports by name where all is asked for."""
    if not found.idle:
        return []
    still = [name for name in found.idle if "." not in name]
    parts: dict[str, list[str]] = {}
    for kind, port in (name.split(".") for name in found.idle if "." in name):
        parts.setdefault(kind, []).append(port)
    lines = [f"Not exercised: {', '.join(still)}."] if still else []
    if not parts:
        return lines
    ports = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in parts.items())
    if not whole:
        ports = f"{sum(map(len, parts.values()))} of {len(parts)} components; --all names them"
    return [*lines, f"Ports that never changed: {ports}."]
