"""The page of the language models, from the figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import mean
from typing import Any

from codeword.reports.compensation import published
from codeword.reports.compensation.measure import METHODS, VARIANTS, settings
from codeword.reports.registry import Task
from codeword.reports.render.markdown import table
from sim.files import write_whole

Row = dict[str, Any]

NAMES = {"rtn": "RTN", "gptq": "GPTQ", "gptaq": "GPTAQ", "rescomp": "ResComp", "wstar": "W*"}

_WORDS = """# Compensated rounding of language models

Made by `codeword report compensation`: RTN, GPTQ, GPTAQ, ResComp and GPTQ from W* (`algos/compensation`), weights
of the decoder layers in groups of {group} inputs, symmetric, with clip search, act-order and scales of the given
weights; embedding and head stay in float. GPTAQ and ResComp with the shares of their published code, 0.25. All figures
are *measured*, after rounding and before any hardware, in float32. A scale of 16 bits a group adds {overhead:.2f} bits
a weight. Inputs of 4 bits are rounded token by token, asymmetric, to 0.9 of their range, as GPTAQ's scripts do.

{unfinished}## A small Llama on bytes

The Llama of `algos/zoo/llama_moby` (1.67 million parameters, trained here in float32, stored in float16), bits a byte
of {measured:,} bytes of Moby Dick that it never saw; calibrated on {calibration:,} bytes that it learned. Mean over
{seeds} of the calibration windows, with half of what lies between the best and the worst; RTN looks at no window.
**Float: {float:.4f}.**

{small}

{seen}

Settings of the published code, each changed alone, at 3 bits without rotation:

{variants}

{others}## The papers' figures

None of these were measured here. GPTAQ's, W3 g128, perplexity on WikiText2 / C4:

{gptaq_w3}

GPTAQ's, W4A4, perplexity on WikiText2:

{gptaq_w4a4}

ResComp's, as others report its tables, perplexity on WikiText2 / C4:

{rescomp}

What differs from ours:

{differences}
"""

_SMOLLM2 = """## SmolLM2-135M

Perplexity on {measured:,} tokens of the same book, which it may well have learned, in windows of {length};
calibrated on {calibration:,}; one seed. **The weights arrive in 4 bits** (GGUF's Q4_1: groups of 32 with a minimum
each): the float model here is that one, decoded, of perplexity {float:.2f}, and nothing is said of 4 bits.

{rows}

"""


def run(task: Task) -> None:
    """Writes the page beside the figures."""
    write_whole(task.out.with_suffix(".md"), page(task.figures()))


def page(found: Row) -> str:
    """The report."""
    rows = [row for row in found["rows"] if row["subject"] == "llama-moby"]
    small, plain = found["float"]["llama-moby"], [row for row in rows if not row["options"]]
    return _WORDS.format(
        group=found["group"],
        unfinished=_unfinished(len(found["rows"])),
        overhead=16 / found["group"],
        seeds=_plural(len({row["seed"] for row in rows} - {None}), "seed"),
        float=small["quality"],
        small=table(("weights", "inputs", "rotated", *(NAMES[name] for name in METHODS)), _table(plain)),
        seen="\n".join(f"* {line}" for line in _seen(plain)),
        variants=table(("", "bits a byte", "the method as published"), _variants(rows)),
        others=_smollm2(found),
        gptaq_w3=table(("model", "float", "AWQ", "GPTQ", "GPTAQ"), published.GPTAQ_W3),
        gptaq_w4a4=table(("model", "float", "RTN", "GPTQ", "GPTAQ"), published.GPTAQ_W4A4),
        rescomp=table(("setting", "base", "base alone", "with ResComp"), published.RESCOMP),
        differences="\n".join(f"* {line}" for line in published.DIFFERENCES),
        **small["tokens"],
    )


def _unfinished(rows: int) -> str:
    """Says so where a run was stopped."""
    wanted = sum(1 for _ in settings())
    if rows >= wanted:
        return ""
    return (
        f"**The run was stopped at {rows} of {wanted} rows**: settings have fewer seeds, or none, where a cell has no "
        "spread or is empty,\nand what is said of every seed may be said of one; the command goes on where it was.\n\n"
    )


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'s' * (count > 1)}"


def _settings(rows: Iterable[Row]) -> dict[tuple[Any, ...], dict[str, list[float]]]:
    """Qualities of every seed, by setting and method."""
    found: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for row in rows:
        setting = (row["bits"], row["activations"] or 0, row["rotated"])
        found.setdefault(setting, {}).setdefault(row["method"], []).append(row["quality"])
    return found


def _table(rows: Iterable[Row]) -> Iterator[tuple[str, ...]]:
    for (bits, activations, rotated), methods in sorted(
        _settings(rows).items(), key=lambda one: (one[0][2], one[0][1], -one[0][0])
    ):
        best = min(mean(values) for values in methods.values())
        inputs = f"{activations} bits" if activations else "float"
        cells = (_cell(methods.get(name, []), best) for name in METHODS)
        yield f"{bits} bits", inputs, "yes" if rotated else "no", *cells


def _cell(values: list[float], best: float | None = None) -> str:
    if not values:
        return ""
    text = _number(mean(values))
    if mean(values) == best:
        text = f"**{text}**"
    spread = (max(values) - min(values)) / 2
    return f"{text} ± {spread:.4f}" if len(values) > 1 else text


def _number(value: float) -> str:
    return f"{value:.4f}" if value < 100 else f"{value:.3g}"


def _seen(rows: Iterable[Row]) -> Iterator[str]:
    """In which settings every seed of a method is better than every seed of another, and the other way."""
    settings = _settings(rows)
    for better, worse in (
        ("gptq", "rtn"),
        ("gptaq", "gptq"),
        ("rescomp", "gptaq"),
        ("wstar", "gptq"),
        ("wstar", "gptaq"),
    ):
        pairs = [(one[better], one[worse]) for one in settings.values() if better in one and worse in one]
        wins = sum(max(first) < min(second) for first, second in pairs)
        losses = sum(min(first) > max(second) for first, second in pairs)
        yield (
            f"{NAMES[better]} against {NAMES[worse]}: better in every seed in {wins} of {len(pairs)} settings, "
            f"worse in every seed in {losses}."
        )


def _variants(rows: Iterable[Row]) -> Iterator[tuple[str, ...]]:
    kept = [row for row in rows if row["bits"] == 3 and not row["rotated"] and row["activations"] is None]
    usual = _settings(row for row in kept if not row["options"])[3, 0, False]
    for name, (method, options) in VARIANTS.items():
        values = [row["quality"] for row in kept if (row["method"], row["options"]) == (method, options)]
        yield name, _cell(values), _cell(usual.get(method, []))


def _smollm2(found: Row) -> str:
    rows = [row for row in found["rows"] if row["subject"] == "smollm2-135m"]
    if not rows:
        return ""
    whole = found["float"]["smollm2-135m"]
    lines = [
        (f"{bits} bits, from 4", *(_cell(methods.get(name, [])) for name in METHODS))
        for (bits, *_), methods in sorted(_settings(rows).items(), reverse=True)
    ]
    return _SMOLLM2.format(
        float=whole["quality"],
        length=whole["length"],
        rows=table(("weights", *(NAMES[name] for name in METHODS)), lines),
        **whole["tokens"],
    )
