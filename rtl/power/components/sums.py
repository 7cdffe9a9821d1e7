"""Benches of what accumulates and requantizes."""

from __future__ import annotations

import numpy as np

from rtl.array.prf import Prf
from rtl.block import address_bits
from rtl.geometry import PSUM_BITS, Geometry
from rtl.power.components.bench import Bench, Event, Phases, Statistics, Words, dense, ones
from rtl.power.evaluator import LANES, words
from rtl.power.streams import Sample, toggle_rate
from rtl.storer.requantizer import MULTIPLIER_BITS, Requantizer
from rtl.storer.rounding import SHIFT_BITS


def prf() -> Bench:
    machine = dense()
    return Bench(
        size={"depth": machine.prf_depth, "columns": machine.columns},
        layers=machine,
        machine=machine,
        block=Prf(depth=machine.prf_depth, columns=machine.columns, sum_bits=Geometry(machine).sum_bits),
        events=(Event("prf_access", 1, "words", ("psum_toggle_rate", "word_toggle_rate")),),
        phases=_prf,
        statistics=_psum_statistics,
    )


def requantizer() -> Bench:
    machine = dense()
    return Bench(
        size={"lanes": 1},
        layers=machine,
        machine=machine,
        block=Requantizer(),
        events=(Event("requantize", 0, "values", ("acc_toggle_rate",)),),
        phases=_requantizer,
        statistics=_acc_statistics,
    )


def _prf(bench: Bench, sample: Sample) -> Phases:
    """Sums into every word that tokens use; tokens."""
    machine = bench.machine
    sums = sample.sums[:, :, -1]
    count, entries = len(sums), int(sample.entry.max()) + 1
    word, first = sample.entry % sample.groups, sample.entry < sample.groups

    def rows(chosen: slice) -> Words:
        shape = (len(sums[chosen]), LANES, 1)
        return {
            "valid": ones(shape[0]),
            "sums": words(sums[chosen], 16 + address_bits(machine.rows)),
            "word": words(np.broadcast_to(word[chosen, None, None], shape), address_bits(machine.prf_depth)),
            "first": words(np.broadcast_to(first[chosen, None, None], shape).astype(int), 1),
        }

    yield rows(slice(0, entries)), {}
    yield rows(slice(0, count)), {"words": count * LANES * machine.columns}


def _psum_statistics(bench: Bench, sample: Sample) -> Statistics:
    """`psum_toggle_rate`: from one psum to the next; `word_toggle_rate`: of the word that it replaces."""
    sums = sample.sums[:, :, -1]
    psums, held = np.zeros_like(sums), np.zeros((sample.groups, *sums.shape[1:]), np.int64)
    changed = []
    for n, entry in enumerate(sample.entry):
        word = entry % sample.groups
        psums[n] = sums[n] if entry < sample.groups else held[word] + sums[n]
        changed.append(toggle_rate(np.stack([held[word], psums[n]]), PSUM_BITS))
        held[word] = psums[n]
    return {"psum_toggle_rate": toggle_rate(psums, PSUM_BITS), "word_toggle_rate": float(np.mean(changed))}


def _accumulators(bench: Bench, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Sums over a slot [values, patterns] and the output channel of each: pixel, s, column."""
    entries = int(sample.entry.max()) + 1
    sums = sample.sums[:, :, -1]
    slots = sums.reshape(-1, entries // sample.groups, sample.groups, LANES, sums.shape[-1]).sum(1)
    acc = slots.transpose(0, 1, 3, 2).reshape(-1, LANES)
    channels = np.tile(sample.channels.transpose(0, 2, 1).reshape(-1, LANES), (len(slots), 1))
    return acc, np.maximum(channels, 0)


def _requantizer(bench: Bench, sample: Sample) -> Phases:
    acc, channels = _accumulators(bench, sample)
    layer, count = sample.layer, len(acc)
    parameters = layer.requantization
    assert parameters is not None

    def byte(value: int) -> np.ndarray:
        return words(np.full((count, LANES, 1), value), 8)

    yield (
        {
            "acc": words(acc[..., None], PSUM_BITS),
            "bias": words(layer.bias[channels][..., None].astype(np.int64), PSUM_BITS),
            "multiplier": words(parameters.multiplier[channels][..., None].astype(np.int64), MULTIPLIER_BITS),
            "shift": words(parameters.shift[channels][..., None].astype(np.int64), SHIFT_BITS),
            "zero": byte(parameters.zero_point),
            "low": byte(parameters.low),
            "high": byte(parameters.high),
        },
        {"values": (count - 1) * LANES},
    )


def _acc_statistics(bench: Bench, sample: Sample) -> Statistics:
    return {"acc_toggle_rate": toggle_rate(_accumulators(bench, sample)[0], PSUM_BITS)}
