"""Pictures of where the energy of a network goes: by component, layer and technology."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sim.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Far to near the multiplier; colours that stay apart in grey and for colour-blind readers.
COMPONENTS = {
    "dram": ("DRAM", "#1b3a57"),
    "l2": ("L2", "#2f6f9f"),
    "l1": ("L1", "#7fb6d6"),
    "registers": ("register files", "#f2c879"),
    "mac": ("multipliers", "#d1603d"),
    "clock": ("clock", "#8c8c8c"),
    "leakage": ("leakage", "#c9c9c9"),
}
_REGISTERS = ("arf", "wrf", "prf", "crf", "rom")


def energy_figure(machines: Sequence[Estimate], layers_of: Estimate, path: str | Path) -> None:
    """Writes a PNG: energy of one inference by machine, and by layer on one of them.

    Args:
        machines: estimates of one network, in the order of the bars.
        layers_of: the one whose layers are shown.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, height_ratios=(1, 1.15))
    _bars(
        upper,
        [machine.accelerator.name for machine in machines],
        [_grouped(machine.cost.energy_pj) for machine in machines],
    )
    for number, machine in enumerate(machines):
        cost = machine.cost
        if cost.total_pj is not None and cost.tops_per_watt is not None:
            upper.text(
                number,
                cost.total_pj * 1e-6,
                f"{cost.tops_per_watt:.1f} TOPS/W",
                ha="center",
                va="bottom",
                fontsize=8,
            )
    upper.set_title(f"{layers_of.name}: energy of one image by accelerator", loc="left")
    upper.margins(y=0.12)
    _, names = upper.get_legend_handles_labels()
    upper.legend(loc="upper right", ncols=len(names), frameon=False, fontsize=8)
    _bars(
        lower,
        [layer.counts.name for layer in layers_of.layers],
        [_grouped(layer.cost.energy_pj) for layer in layers_of.layers],
    )
    lower.set_title(f"by layer on {layers_of.accelerator.name}", loc="left")
    lower.tick_params(axis="x", rotation=60, labelsize=8)
    for label in lower.get_xticklabels():
        label.set_ha("right")
        label.set_rotation_mode("anchor")
    figure.text(
        1, 0, "TOPS/W: dense-equivalent, without DRAM", ha="right", va="bottom", fontsize=7, color="0.4"
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def technologies_figure(networks: Mapping[str, Sequence[Estimate]], path: str | Path) -> None:
    """Writes a PNG: energy of one image on a logarithmic axis, and its shares; a panel each of a network.

    Where a part is unknown, the total stands for the rest, and says what is missing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.4), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(2, len(networks), squeeze=False, sharey="row")
    for totals, shares, (network, machines) in zip(*rows, networks.items(), strict=True):
        _totals(totals, machines)
        totals.set_title(f"{network} on {machines[0].accelerator.name}", loc="left", fontsize=10)
        values = [_grouped(machine.cost.energy_pj) for machine in machines]
        known = [sum(value[name] for name in COMPONENTS if name in value) for value in values]
        _bars(
            shares,
            [machine.accelerator.technology for machine in machines],
            [
                {name: 100 * uj / total for name, uj in value.items()}
                for value, total in zip(values, known, strict=True)
            ],
        )
        shares.set_ylabel("share of what is known, %")
    handles = {
        text: handle
        for axes in rows[1]
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=len(handles),
        frameon=False,
        fontsize=8,
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _totals(axes: Axes, machines: Sequence[Estimate]) -> None:
    """A mark a technology with the clock's energy, and one without: on a logarithmic axis nothing hides another."""
    for number, machine in enumerate(machines):
        energy = machine.cost.energy_pj
        whole = 1e-6 * sum(pj or 0.0 for pj in energy.values())
        rest = whole - 1e-6 * (energy.get("clock") or 0.0)
        unknown = [name for name, pj in energy.items() if pj is None]
        said = f"more than {whole:,.0f}: no {', '.join(unknown)}" if unknown else f"{whole:,.0f}"
        axes.plot([number, number], [rest, whole], color="0.8", zorder=0)
        (hollow,) = axes.plot(number, rest, "o", color=COMPONENTS["l2"][1], markerfacecolor="white")
        (full,) = axes.plot(number, whole, "o", color=COMPONENTS["l2"][1])
        axes.annotate(said, (number, whole), (9, 4), textcoords="offset points", fontsize=8)
        if rest < 0.9 * whole:
            axes.annotate(f"{rest:,.0f}", (number, rest), (9, -8), textcoords="offset points", fontsize=8)
    axes.legend([full, hollow], ["all", "without the clock"], frameon=False, fontsize=8, loc="upper left")
    axes.set_yscale("log")
    axes.margins(x=0.2, y=0.25)
    axes.set_xticks(range(len(machines)), [machine.accelerator.technology for machine in machines])
    axes.set_ylabel("energy of one image, µJ, logarithmic")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="0.9")


def _grouped(energy_pj: dict[str, float | None]) -> dict[str, float]:
    """uJ by component of the picture; without the parts that nobody knows."""
    known = {name: 1e-6 * (pj or 0.0) for name, pj in energy_pj.items()}
    return known | {"registers": sum(known[name] for name in _REGISTERS)}


def _bars(axes: Axes, names: Sequence[str], values: Sequence[dict[str, float]]) -> None:
    bottom = [0.0] * len(names)
    for component, (label, colour) in COMPONENTS.items():
        if not any(component in value for value in values):
            continue
        heights = [value.get(component, 0.0) for value in values]
        axes.bar(range(len(names)), heights, bottom=bottom, label=label, color=colour, width=0.75)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("µJ")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="0.9")
