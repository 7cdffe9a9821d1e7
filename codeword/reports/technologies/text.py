"""One machine in four technologies, with the origin of every figure.

Text and picture, in seconds.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import codeword
import rtl.power
from codeword.reports.registry import Task
from codeword.reports.render import markdown
from codeword.reports.render.figure import technologies_figure
from codeword.tables import engineering, number, share
from sim import accelerator, technology
from sim.cost import Cost
from sim.estimate import Estimate
from sim.files import write_whole
from sim.technology import NAMES, dram, memory
from sim.technology.published import Published
from sim.technology.synthesized import Synthesized

NETWORKS = ("resnet18", "mobilenet-v2")
MACHINES = ("ews-64", "ews-cms-64")
TABLES = Path(rtl.power.__file__).parent / "tables"


def run(task: Task) -> None:
    """Writes the report and its picture."""
    found = {
        (network, machine, name): codeword.estimate(network, machine, technology=name)
        for network in NETWORKS
        for machine in MACHINES
        for name in NAMES
    }
    parts = [
        "# One machine in four technologies",
        "Made by `codeword report technologies`; cycles and accesses are *counted* by the closed form, "
        "which equals the RTL's counters. `unknown` means that a part has no figure with a source; *known* "
        "is the sum of the other parts, a lower bound.",
        "The RTL gates its clock: each word of a register file, registers of tiles without a token, and by the "
        "flow every register with an enable. `clock` is what no gate keeps the clock from, and counted pulses "
        "behind the gates; columns of their own say what the same machine takes without gates "
        "(`clock_gating = false`). sky130hd was not synthesized with gates.",
        "MVQ prints 2.3x less energy for EWS-CMS than for EWS, and half the array. Our netlists, both gated, give "
        "less, since a multiplier with its demultiplexer and WRF costs more than one without, and clock, storer and "
        "L1 are alike in both; without gates the ratio at 64x64 is beyond 2.3x only because the ungated WRF of EWS "
        "is four times as large. Half of the storer's lanes' flip-flops are counted as clocked, an assumption.",
        "![Energy by component](technologies.png)",
        *(_network(network, found) for network in NETWORKS),
        _areas(found),
        _provenance(),
        _evaluated(),
        _macros(),
        _mvq_against_cacti(),
        _dram(),
        _scaling(),
    ]
    write_whole(task.out, "\n\n".join(parts) + "\n")
    technologies_figure(
        {network: [found[network, MACHINES[-1], name] for name in NAMES] for network in NETWORKS},
        task.out.with_suffix(".png"),
    )


def _network(network: str, found: dict[tuple[str, str, str], Estimate]) -> str:
    rows = []
    for machine in MACHINES:
        for name in NAMES:
            cost = found[network, machine, name].cost
            rows.append(
                (
                    machine,
                    name,
                    engineering(cost.clock_hz, "Hz"),
                    engineering(cost.time_s, "s"),
                    _joule(cost.total_pj),
                    _joule(cost.total_without_dram_pj),
                    _joule(cost.known_pj),
                    number(cost.tops_per_watt),
                    number(cost.tops_per_watt_with_dram),
                    ", ".join(cost.unknown_energy),
                )
            )
    gated = [
        (machine, name, *_gated(found[network, machine, name], _without_gates(network, machine, name)))
        for machine in MACHINES
        for name in NAMES
        if isinstance(technology.load(name), Synthesized)
    ]
    clocks = markdown.table(
        (
            "machine",
            "technology",
            "clock, gated as built",
            "of known energy without DRAM",
            "clock without gates",
            "known energy, gated as built",
            "without gates",
        ),
        gated,
    )
    whole = markdown.table(
        (
            "machine",
            "technology",
            "clock",
            "time",
            "energy",
            "without DRAM",
            "known",
            "TOPS/W without DRAM",
            "with DRAM",
            "no figure for",
        ),
        rows,
    )
    costs = [found[network, MACHINES[-1], name].cost for name in NAMES]
    components = list(dict.fromkeys(component for cost in costs for component in cost.energy_pj))
    by_part = markdown.table(
        ("component", *NAMES),
        [(component, *(_part(cost, component) for cost in costs)) for component in components],
    )
    return f"## {network}\n\n{whole}\n\n{clocks}\n\nEnergy by component on {MACHINES[-1]}:\n\n{by_part}"


def _without_gates(network: str, machine: str, name: str) -> Estimate:
    return codeword.estimate(network, accelerator.load(machine, {"clock_gating": False}), technology=name)


def _gated(found: Estimate, without: Estimate) -> tuple[str, ...]:
    """Clock, its share, and known energy as built; clock and known energy without gates."""
    cost, other = found.cost, without.cost
    clock, dram = cost.energy_pj["clock"], cost.energy_pj["dram"]
    part = "unknown" if clock is None else f"{clock / (cost.known_pj - (dram or 0)):.0%}"
    return (
        _joule(clock),
        part,
        _joule(other.energy_pj["clock"]),
        _joule(cost.known_pj),
        _joule(other.known_pj),
    )


def _part(cost: Cost, component: str) -> str:
    if component not in cost.energy_pj:
        return "not counted"
    pj = cost.energy_pj[component]
    if pj == 0:
        return "0"
    return f"{_joule(pj)} {share(pj, cost.total_pj)} ({cost.energy_sources[component].label})"


def _areas(found: dict[tuple[str, str, str], Estimate]) -> str:
    costs = [found[NETWORKS[0], MACHINES[-1], name].cost for name in NAMES]
    components = list(dict.fromkeys(component for cost in costs for component in cost.area_mm2))
    rows = [(component, *(_area(cost, component) for cost in costs)) for component in components]
    rows.append(("total", *(number(cost.total_mm2, 3) for cost in costs)))
    return (
        f"## Area of {MACHINES[-1]}, mm2\n\nmvq40 counts ARF, PRF and loader to the array, and storer, "
        f"control and buffers to the others.\n\n{markdown.table(('component', *NAMES), rows)}"
    )


def _area(cost: Cost, component: str) -> str:
    if component not in cost.area_mm2:
        return ""
    figure = cost.area_mm2[component]
    return f"{number(figure.value, 3)} ({figure.label})"


def _provenance() -> str:
    """Coefficients of the machine in each technology."""
    machine = accelerator.preset(MACHINES[-1])
    rows = []
    for name in NAMES:
        found = technology.load(name)
        units = (
            ("pJ", found.energies(machine)),
            ("pJ a cycle", found.per_cycle(machine)),
            ("mW", found.standing(machine)),
            ("mm2", found.areas(machine)),
        )
        rows += [
            (
                name,
                what,
                "unknown" if figure.value is None else f"{figure.value:.4g} {unit}",
                figure.label,
                figure.source,
                figure.uncertainty,
            )
            for unit, figures in units
            for what, figure in figures.items()
        ]
    columns = ("technology", "figure", "value", "label", "source", "uncertainty")
    return (
        f"## Every coefficient of {MACHINES[-1]}\n\nEnergies of an access are those of one 8-bit word, "
        f"at the PRF of one psum.\n\n{markdown.table(columns, rows)}"
    )


def _evaluated() -> str:
    """Events of the power tables, with their errors on layers that the fit did not see."""
    tables = {path.stem: tomllib.loads(path.read_text()) for path in sorted(TABLES.glob("*.toml"))}
    parts = [part for table in tables.values() for part in table["components"].values()]
    events = [event for part in parts for event in part["events"].values()]
    rows = []
    for kind, part in next(iter(tables.values()))["components"].items():
        for event in part["events"]:
            found = [table["components"][kind]["events"][event] for table in tables.values()]
            rows.append(
                (
                    kind,
                    event,
                    found[0]["per"],
                    *(
                        f"{engineering(fit['mean_j'], 'J')}, {fit['error_mean']:.1%} ({fit['error_max']:.0%})"
                        for fit in found
                    ),
                )
            )
    means = [event["error_mean"] for event in events]
    return (
        "## Evaluated events\n\nNetlists of our components on operands of "
        f"{max(part['layers'] for part in parts)} layers of a trained network; joules are fitted to zero "
        "and toggle rates of the operands, and each layer is predicted by a fit without it. Given are "
        "the mean energy of an event and the mean error of the predictions, the largest in brackets. "
        f"Mean errors are {min(means):.1%} to {max(means):.1%}; single layers miss by up to "
        f"{max(event['error_max'] for event in events):.0%}. Coefficients: `rtl/power/tables`; "
        "no glitches, no wires.\n\n" + markdown.table(("component", "event", "per", *tables), rows)
    )


def _macros() -> str:
    """Real macros against CACTI, where both have the shape."""
    real, model = memory.table("sg13g2"), memory.table("cacti7")
    node, nearest_node = 130, 90
    rows = []
    for kib in (2, 4, 8, 16):
        macro, cacti = real.memory(node, 1024 * kib, 64), model.memory(nearest_node, 1024 * kib, 64)
        line, square = node / nearest_node, (node / nearest_node) ** 2
        rows.append(
            (
                f"{kib} KiB x 64",
                f"{macro.read_pj:.4g}",
                f"{cacti.read_pj:.4g}",
                f"{macro.read_pj / cacti.read_pj / line:.2f}",
                f"{macro.write_pj / cacti.write_pj / line:.2f}",
                f"{macro.area_mm2:.4g}",
                f"{cacti.area_mm2:.4g}",
                f"{macro.area_mm2 / cacti.area_mm2 / square:.2f}",
            )
        )
    columns = (
        "SRAM",
        "macro read pJ",
        "CACTI read pJ",
        "read ratio",
        "write ratio",
        "macro mm2",
        "CACTI mm2",
        "area ratio",
    )
    return (
        "## Real macros against CACTI 7\n\nSG13G2 macros (130 nm, 1.2 V) against the largest node of the "
        "table, 90 nm. The ratios take the node out: energy in proportion to it, area to its square. A "
        "real macro takes 2 to 3 times the energy that CACTI says; figures from CACTI are lower ends.\n\n"
        + markdown.table(columns, rows)
    )


def _mvq_against_cacti() -> str:
    mvq = technology.load("mvq40")
    machine = accelerator.preset(MACHINES[-1])
    model = memory.table("cacti7")
    rows = []
    for name, size in (("l1", machine.ifmap_bytes // machine.map_banks), ("l2", machine.l2_bytes)):
        sram = model.memory(40, size, 64)
        printed = mvq.energies(machine)[name].value or 0.0
        rows.append(
            (name, f"{printed:.3g}", f"{sram.access_pj / 8:.3g}", f"{size // 1024} KiB, 64 bits", sram.source)
        )
    return (
        "## L1 and L2 at 40 nm: MVQ Table 8 against CACTI 7\n\npJ a byte; MVQ in units of an assumed "
        "0.23 pJ MAC. CACTI for one bank of L1 and for L2 in one piece, mean of read and write.\n\n"
        + markdown.table(("memory", "mvq40", "CACTI", "shape", "source"), rows)
    )


def _dram() -> str:
    rows = []
    for name, kind in dram.types().items():
        figure = dram.energy(name)
        rows.append(
            (
                name,
                f"{kind.timing.gb_per_s:.4g}",
                f"{kind.timing.latency_ns:.4g}",
                f"{kind.timing.row_bytes // 1024}",
                f"{kind.timing.row_ns:g}",
                kind.timing.source,
                "unknown" if kind.pj_per_bit is None else f"{kind.pj_per_bit:g}",
                number(kind.activation_pj),
                number(kind.background_mw),
                figure.label,
                figure.source,
            )
        )
    columns = (
        "type",
        "GB/s",
        "latency ns",
        "row KiB",
        "row ns",
        "source",
        "pJ/bit",
        "activation pJ",
        "background mW",
        "label",
        "source",
    )
    return "## DRAM\n\n" + markdown.table(columns, rows)


def _scaling() -> str:
    base = technology.load(technology.DEFAULT)
    assert isinstance(base, Published)
    rows = [
        (f"{base.name}@{node}", f"{factor.energy:g}", factor.label, factor.source, factor.uncertainty)
        for node, factor in base.scaling.items()
    ]
    columns = ("technology", "energy x", "label", "source", "uncertainty")
    return (
        "## Other nodes\n\nOnly the factors that follow from printed pairs; energy on the chip, not DRAM "
        "and not area.\n\n" + markdown.table(columns, rows)
    )


def _joule(pj: float | None) -> str:
    return engineering(None if pj is None else pj * 1e-12, "J")
