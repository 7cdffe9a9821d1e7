"""What a row of the arena costs on its machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import codeword
from codeword import inputs
from codeword.reports.formats.entries import Entry
from codeword.reports.language import measure as language
from codeword.reports.machines import settings
from sim import accelerator, artifact
from sim.accelerator import Accelerator
from sim.cost import Cost
from sim.estimate import estimate
from sim.network import AqlmWeight, CodebookWeight, Conv, DenseWeight, Network
from sim.workloads.transformer import Llama

SIZE = 16
"""Rows and columns of the array of ResNet-20."""

LLAMA_SIZE, CONTEXT = 64, 256
SMALL = Llama("llama-moby", layers=4, width=192, heads=6, kv_heads=2, hidden=512, vocabulary=256)
"""The shipped model, as the machines see it."""

TECHNOLOGIES = ("mvq40", "sg13g2")
DECODING = ("loader", "crf", "rom")
"""Components between the weight stream and the array."""


def of_network(path: Path, entry: Entry) -> dict[str, Any]:
    """One image, by closed form."""
    network = artifact.load(path)
    name = f"{entry.family}-{SIZE}"
    fields = [*entry.fields, *settings(network, inputs.accelerator(name, list(entry.fields)))]
    found: dict[str, Any] = {"machine": name, "settings": fields}
    for technology in TECHNOLOGIES:
        cost = codeword.estimate(network, name, technology=technology, settings=fields)
        found |= {
            "cycles": cost.cost.cycles,
            "stalls": {cause: n for cause, n in cost.cost.stall_cycles.items() if n},
            "dram_bytes": sum(layer.counts.accesses["dram"] for layer in cost.layers),
            technology: _priced(cost.cost),
        }
    return found | {"bits": streamed_bits(network, inputs.accelerator(name, fields))}


def _priced(cost: Cost) -> dict[str, float | None]:
    """uJ and mm2; None of what is unknown."""
    energy, rest = cost.total_pj, cost.total_without_dram_pj
    parts = [cost.area_mm2[name].value for name in DECODING if name in cost.area_mm2]
    return {
        "uj": None if energy is None else energy * 1e-6,
        "uj_without_dram": None if rest is None else rest * 1e-6,
        "mm2": cost.total_mm2,
        "decoding_mm2": None if None in parts else sum(part for part in parts if part is not None),
        "time_s": cost.time_s,
    }


def streamed_bits(network: Network, machine: Accelerator) -> float:
    """Bits a weight of the layers in the machine's format: the stream with scales, and codebooks; 8 without any.

    A codebook in a ROM of the chip is in no stream.
    """
    bits = weights = 0
    for layer in network.layers:
        if not isinstance(layer, Conv) or isinstance(layer.weight, DenseWeight):
            continue
        outputs, channels, ky, kx = layer.weight.shape
        book = layer.weight.codebook if isinstance(layer.weight, CodebookWeight | AqlmWeight) else ()
        rows = ky * kx * machine.weights.rows_sent(machine, channels)
        bits += rows * machine.weights.row_bits(machine, outputs, len(book), outputs)
        bits += 0 if machine.weights.universal else 8 * np.size(book)
        weights += outputs * channels * ky * kx
    return bits / weights if weights else 8.0


def of_llama(entry: Entry) -> dict[str, Any]:
    """A prompt, and the last token of a context, as `codeword report language` counts them."""
    options, family = entry.options, f"{entry.family}-{LLAMA_SIZE}"
    fields: dict[str, Any] = dict(field.split("=") for field in entry.fields)
    fields = {name: int(value) for name, value in fields.items()}
    if "k" in options:
        books = accelerator.load(family).weights.books
        fields |= {"codeword_length": options["d"], "codebook_entries": books * options["k"]}
    if "entries" in options:
        fields |= {"codebook_entries": max(16, options["entries"])}
    if "pattern" in options:
        keep, group = options["pattern"]
        fields |= {"keep": keep, "group": group, "tile_columns": options["d"]}
    shared = {"dram": language.DRAM, "weight_port_bits": language.PORT_BITS}
    machine = accelerator.load(family, {**shared, **fields})
    found: dict[str, Any] = {"machine": machine.name, "settings": [f"{n}={v}" for n, v in fields.items()]}
    step = SMALL.decode(CONTEXT)
    held = sum(shape.weights for shape in step.shapes if language.cached(shape))
    for name, workload, kept in (("prefill", SMALL.prefill(CONTEXT), 0), ("decode", step, held)):
        counted = estimate(workload, machine)
        stalls = {cause: n for cause, n in counted.cost.stall_cycles.items() if n}
        found[name] = language.figures(counted, kept) | {"cycles": counted.cost.cycles, "stalls": stalls}
    return found
