"""Steps of one network on one memory image: the weights stay where they are, a register selects the scales."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtl.compiler import compile, compile_steps
from rtl.image import write
from rtl.verify import verify_steps
from rtl.verify.random_network import random_case
from rtl.verify.run import programming
from sim.accelerator import load
from sim.errors import InputError
from sim.network import Conv, Network, run
from tests.rtl.image.test_image import run as run_testbench

MACHINE = load("ews-cms-4")


def steps_of(seed: int, count: int = 3) -> list[Network]:
    """A random network, and others on its weights with scales, biases and zero points of their own."""
    first = random_case(MACHINE, seed).network
    return [first, *(other(first, np.random.default_rng([seed, step])) for step in range(1, count))]


def other(network: Network, rng: np.random.Generator) -> Network:
    layers = []
    for layer in network.layers:
        if isinstance(layer, Conv):
            layer = replace(layer, bias=layer.bias + rng.integers(-99, 99, len(layer.bias)).astype(np.int32))
            if (scales := layer.requantization) is not None:
                scales = replace(
                    scales, multiplier=scales.multiplier ^ 5, zero_point=int(rng.integers(-20, 20))
                )
                layer = replace(layer, requantization=scales)
        layers.append(layer)
    spec = replace(network.input, zero_point=int(rng.integers(-128, 128)))
    return replace(network, input=spec, layers=tuple(layers))


def inputs(networks: list[Network]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(-128, 128, (1, *one.input.shape)).astype(np.int8) for one in networks]


@pytest.mark.parametrize("seed", [11, 14])
def test_steps_follow_each_other_on_one_image(seed: int) -> None:
    networks = steps_of(seed)
    images = inputs(networks)
    last = networks[0].layers[-1].name
    outputs = [run(one, images[0])[last] for one in networks]
    assert not np.array_equal(outputs[0], outputs[1])  # otherwise no bank is proven
    found = verify_steps(MACHINE, networks, images, simulator="icarus")
    assert found.equal, found.first_mismatch
    assert found.words_compared == 3 * sum(
        one.words_compared for one in found.layers if one.name.startswith("step 0")
    )
    assert found.cycles_rtl == found.cycles_model > 0


def test_the_wrong_bank_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = steps_of(11, 2)

    def stuck(*given: object, **options: object) -> tuple[object, ...]:
        banks = compile_steps(*given, **options)
        return tuple(replace(bank, windows=banks[0].windows) for bank in banks)

    monkeypatch.setattr("rtl.verify.time_steps.compile_steps", stuck)
    found = verify_steps(MACHINE, networks, inputs(networks), simulator="icarus")
    assert not found.equal
    assert "step 1" in found.first_mismatch


def test_the_bench_of_a_later_step_passes_on_the_memory_of_all(tmp_path: Path) -> None:
    networks = steps_of(11)
    images = inputs(networks)
    for step in (0, 2):
        found = write(
            networks[step],
            MACHINE,
            tmp_path / str(step),
            images[step],
            base=0x8000,
            steps=networks,
            step=step,
        )
        said = run_testbench(tmp_path / str(step), "ews-cms-4")
        assert f"{found.cycles} cycles, {found.cycles} of the engine" in said
    layouts = [json.loads((tmp_path / str(step) / "layout.json").read_text()) for step in (0, 2)]
    commands = layouts[0]["steps"]
    assert layouts[1]["steps"] == commands
    assert [layout["windows"]["commands"]["address"] for layout in layouts] == [commands[0], commands[2]]
    memories = [(tmp_path / str(step) / "memory.bin").read_bytes() for step in (0, 2)]
    weights = layouts[0]["windows"]["weights"]["address"] - 0x8000
    assert memories[0][weights:] == memories[1][weights:]  # the maps before hold another input


def test_one_register_changes_and_the_memory_is_one() -> None:
    networks = steps_of(11)
    banks = compile_steps(networks, MACHINE)
    alone = [compile(one, MACHINE) for one in networks]
    before = programming(banks[0])
    for bank, image in zip(banks, alone, strict=True):
        assert bank.memory is banks[0].memory
        changed = {name for name, value in programming(bank).items() if value != before[name]}
        assert changed <= {"commands_base_lo"}
        for name, window in bank.windows.items():
            np.testing.assert_array_equal(window.of(bank.memory), image.windows[name].of(image.memory), name)
    saved = sum(len(image.memory) for image in alone) - len(banks[0].memory)
    held = alone[0].windows["maps"].bytes + alone[0].windows["weights"].bytes
    assert 8 * saved == (len(networks) - 1) * held


def test_steps_of_other_weights_have_no_one_image() -> None:
    first, second = steps_of(11)[0], steps_of(14)[0]
    with pytest.raises(InputError, match=r"steps.1.*step 0"):
        compile_steps([first, second], MACHINE)
    conv = next(one for one in first.layers if isinstance(one, Conv))
    weights = conv.weight.decode().copy()
    changed = tuple(replace(one, weight=_other_weight(one)) if one is conv else one for one in first.layers)
    assert weights.any()
    with pytest.raises(InputError, match=r"steps.1.*weights"):
        compile_steps([first, replace(first, layers=changed)], MACHINE)


def _other_weight(layer: Conv) -> object:
    weight = layer.weight
    name = "codebook" if hasattr(weight, "codebook") else "values"
    values = getattr(weight, name).copy()
    values.flat[0] ^= 1
    return replace(weight, **{name: values})
