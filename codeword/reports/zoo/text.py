"""The page: what each module became, what was refused, which kinds of layers ran on the RTL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from codeword.reports.registry import Task
from codeword.reports.render import markdown
from codeword.reports.zoo import settings
from sim.files import write_whole

STEPS = {
    "int8": "INT8",
    "int8_engine": "INT8 on the engine",
    "vq": "VQ",
    "vq_engine": "VQ on the engine",
    "rtl": "RTL",
}
"""Steps of a module in order, and what the page calls them."""


def run(task: Task) -> None:
    """Writes the page beside the figures."""
    write_whole(task.out.with_suffix(".md"), page(task.figures()))


def page(modules: list[dict[str, Any]]) -> str:
    """Markdown of what `measure` collected."""
    foreign = [module for module in modules if module["package"] != "ours"]
    whole = sum(complete(module) for module in foreign)
    dense = sum(module.get("int8_engine", {}).get("bit_exact") is True for module in foreign)
    refused = [row for module in modules for row in _refusals(module)]
    parts = [
        "# Modules of others, from PyTorch to the RTL",
        _INTRODUCTION.format(
            foreign=len(foreign), ours=len(modules) - len(foreign), dense=dense, whole=whole
        ),
        markdown.table(_COLUMNS, map(_row, modules)),
        _COLUMN_NOTES,
        "## Weights",
        settings.RULE,
        "## Kinds of layers on the RTL",
        _RTL,
        markdown.table(("kind", "shown by", "machine", "words", "cycles", "outcome"), kinds(modules)),
        "## Refused, failed or left out",
        markdown.table(("module", "step", "why"), refused) if refused else "Nothing.",
    ]
    return "\n\n".join(parts) + "\n"


def complete(module: dict[str, Any]) -> bool:
    """INT8 and VQ went through, and on the engine both are bit-exact."""
    return all(module.get(step, {}).get("bit_exact") is True for step in ("int8_engine", "vq_engine"))


_COLUMNS = (
    *("module", "of", "weights", "parameters", "layers", "INT8 dB", "correlation", "worst layer alone"),
    *("coded", "VQ bits", "VQ dB", "bit-exact"),
    "file",
)

_INTRODUCTION = (
    """Made by `codeword report zoo`. {foreign} modules that nobody here wrote, and {ours} of ours with trained """
    """weights. **{dense} of the {foreign} become INT8 that the cycle engine computes bit for bit, {whole} """
    """with codebooks too.** The foreign weights are synthetic: no figure here is an accuracy, and none stands """
    """for what the module reaches trained."""
)

_COLUMN_NOTES = f"""* *Layers*: of the network of integers. Norms are folded, what only moves values is counted.
* *INT8 dB*: power of the output over that of its error against the float module, *measured* on the first calibration
  batch, all layers in integers; *correlation* of the two. *Worst layer alone*: the least such figure of one layer in
  integers on rounded floats.
* *VQ*: `METHODS["vq"]`, k-means with {settings.K} codewords of {settings.D} weights, without training, on convolutions
  and linear layers, none of them first, last or depth-wise; *coded*: how many of these, the smallest first, until
  {settings.WEIGHTS:,} weights are reached. *Bits* a weight of these layers, codebooks
  included, *counted*. *VQ dB*: the integers against the float network **of the same codebooks**: what INT8 adds. What
  clustering itself costs is not asked of weights that nobody trained.
* *Bit-exact*: on one sample every tensor of the engine, on {settings.ENGINE["int8"][0]} dense and on
  {settings.ENGINE["vq"][0]} with codebooks, equals the functional model's.
* *File*: first digits of the SHA-256 of the INT8 network; "-" where the record is older than these."""

_RTL = f"""The RTL has convolutions, linear layers, additions and pools; the others run in the engine alone, and so do
the tables behind convolutions, which are left off here. Of each kind the smallest layer of the first module that has a
small one runs on the RTL with the input that it has in that network, behind the convolutions that its machine needs
before it: on {settings.RTL[False][0]} up to {settings.RTL[False][2]:,} MACs, with codebooks on
{settings.RTL[True][0]} up to {settings.RTL[True][2]:,}; of a kind whose layers all are larger, one of up to
{settings.PATIENT[False]:,} and {settings.PATIENT[True]:,} (stage `hardware`), and where that machine's L1 is too
small, with {settings.ROOM[0]}. *Equal*: all words, cycles and counters are the engine's. Cycles are
those of the RTL on the day on which a row ran. The proof is of the kind, not of every layer of every module."""


def _row(module: dict[str, Any]) -> tuple[str, ...]:
    int8, vq = module.get("int8", {}), module.get("vq", {})
    name = (
        f"{module['name']}, {module['note']}"
        if module["note"] and module["weights"] != module["note"]
        else None
    )
    return (
        name or module["name"],
        f"{module['package']} {module['version']}",
        module["weights"],
        f"{module['parameters']:,}",
        str(int8.get("layers", "-")),
        _decibels(int8, "sqnr_db"),
        f"{int8['correlation']:.4f}" if "correlation" in int8 else "-",
        f"{_decibels(int8, 'worst_alone_db')} `{int8['worst']}`" if "worst" in int8 else "-",
        f"{vq['coded_layers']} of {vq['layers_to_code']}" if "coded_layers" in vq else "-",
        f"{vq['bits_per_weight']:.2f}" if "bits_per_weight" in vq else "-",
        _decibels(vq, "sqnr_db"),
        " ".join(_exact(module.get(f"{name}_engine", {})) for name in ("int8", "vq")),
        f"`{int8['sha256'][:8]}`" if "sha256" in int8 else "-",
    )


def _decibels(found: dict[str, Any], field: str) -> str:
    if field not in found:
        return "-"
    return "exact" if found[field] is None else f"{found[field]:.1f}"


def _exact(found: dict[str, Any]) -> str:
    return {True: "yes", False: "**no**"}.get(found.get("bit_exact"), "-")  # type: ignore[arg-type]


def kinds(modules: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Each kind of layer that any module has, and how it went on the RTL."""
    having: dict[str, int] = {}
    shown: dict[str, tuple[str, dict[str, Any]]] = {}
    for module in modules:
        rtl = module.get("rtl", {})
        for kind in rtl.get("kinds", ()):
            having[kind] = having.get(kind, 0) + 1
        for kind, found in rtl.get("shown", {}).items():
            if kind not in shown or ("equal" in found and "equal" not in shown[kind][1]):
                shown[kind] = module["name"], found
    rows: list[tuple[str, ...]] = []
    for kind, count in sorted(having.items()):
        name, found = shown.get(kind, ("", {}))
        label = f"{kind} ({count} modules)" if count > 1 else kind
        where = f"{name} `{found['layer']}`" if found else "-"
        if "equal" not in found:
            why = found.get("refused", "not run, its layers are large")
            rows.append((label, where, found.get("accelerator", "-"), "-", "-", why))
            continue
        outcome = "equal" if found["equal"] else "**differs**"
        counted = f"{found['words']:,}", f"{found['cycles_rtl']:,}"
        rows.append((label, where, found["accelerator"], *counted, outcome))
    return rows


def _refusals(module: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    done = [step for step in STEPS if step in module]
    for step in done:
        for outcome in ("refused", "failed"):
            if outcome in module[step]:
                mark = "failed: " if outcome == "failed" else ""
                yield module["name"], STEPS[step], mark + module[step][outcome]
    if "ended" in module:
        yield module["name"], next(STEPS[step] for step in STEPS if step not in done), module["ended"]
    elif "rtl" not in module:
        yield (
            module["name"],
            ", ".join(STEPS[s] for s in STEPS if s not in done),
            "not run yet: make it again",
        )
