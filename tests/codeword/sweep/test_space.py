"""Spaces: what may be written, and what each mistake is told."""

from __future__ import annotations

from itertools import product

import pytest

from codeword.sweeping.metrics import constraint
from codeword.sweeping.space import parse, read
from sim import accelerator
from sim.errors import InputError

PLAIN = {"networks": ["resnet20"], "accelerator": {"preset": "ews-16"}}


def test_every_combination_once():
    table = {
        "family": ["ews", "ws"],
        "size": [8, 16],
        "l1_bytes": {"from": 1 << 16, "to": 1 << 18, "factor": 2},
    }
    space = parse({"networks": "resnet20", "accelerator": table, "mapping": {"objective": ["edp", "cycles"]}})
    found = [tuple(space.choices(space.design(n)).values()) for n in range(space.size)]
    wanted = product(["ews", "ws"], [8, 16], [1 << 16, 1 << 17, 1 << 18], ["edp", "cycles"])
    assert found == list(wanted)
    assert [one.ordered for one in space.varied] == [False, True, True, False]


def test_a_design_is_its_preset_with_the_fields_replaced(tmp_path):
    (tmp_path / "mine.toml").write_text('base = "ews-16"\nwrf_depth = 8\n')
    (tmp_path / "space.toml").write_text(
        'networks = ["resnet20"]\n[accelerator]\npreset = "mine.toml"\nl1_bytes = [65536]\n'
        "extension = [[1, 2, 2], [1, 1, 1]]\n"
    )
    space = read(tmp_path / "space.toml")
    described = space.accelerator(space.design(0))
    plain = accelerator.preset("ews-16").model_dump()
    changed = {"name": "mine", "wrf_depth": 8, "l1_bytes": 65536, "extension": (1, 2, 2)}
    assert described.model_dump() == plain | changed


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"network": ["resnet20"]}, "network"),
        ({"networks": []}, "networks"),
        ({"networks": [3]}, "networks"),
        ({"networks": ["a", "a"]}, "twice"),
        ({"objectives": ["power"]}, "power"),
        ({"objectives": ["accuracy"]}, "resnet20"),
        ({"accuracy": {"resnet18": 70}}, "resnet18"),
        ({"accuracy": {"resnet20": 120}}, "accuracy.resnet20"),
        ({"constraints": ["area < 5"]}, "area < 5"),
        ({"constraints": ["area <= 5 ms"]}, "mm2"),
        ({"constraints": ["size <= 5"]}, "size"),
        ({"accelerator": 3}, "accelerator"),
        ({"accelerator": {}}, "no preset"),
        ({"accelerator": {"preset": "ews-16", "size": 3}}, "two presets"),
        ({"accelerator": {"family": "ews"}}, "no preset"),
        ({"accelerator": {"preset": "ews-16", "l1_byte": 3}}, "l1_bytes"),
        ({"accelerator": {"preset": "ews-16", "l1_bytes": []}}, "l1_bytes"),
        ({"accelerator": {"preset": "ews-16", "l1_bytes": [8, 8]}}, "twice"),
        ({"accelerator": {"preset": "ews-16", "l1_bytes": {"from": 1}}}, "no range"),
        ({"accelerator": {"preset": "ews-16", "l1_bytes": {"from": 1, "to": 9, "step": 0}}}, "rise"),
        ({"accelerator": {"preset": "ews-16", "l1_bytes": {"from": 0, "to": 9, "factor": 2}}}, "rise"),
        ({"accelerator": {"preset": "ews-16", "l1_bytes": {"from": 0, "to": 1e9, "step": 1}}}, "10,000"),
        ({"mapping": {"objective": "speed"}}, "speed"),
        ({"mapping": {"goal": "edp"}}, "goal"),
        ({"networks": ["a-{k}.safetensors"]}, "k"),
        ({"networks": ["a-{k.safetensors"], "method": {"k": [2]}}, "braces"),
        ({"method": {"k": [2, 4]}}, "no network"),
        ({"method": {"k": []}, "networks": ["a-{k}.csv"]}, "method.k"),
        ({"networks": ["a-{k}.csv"], "method": {"k": [2, 4]}, "accuracy": {"a-3.csv": 70}}, "no network"),
    ],
)
def test_mistakes_are_named(changed, named):
    with pytest.raises(InputError, match=named):
        parse(PLAIN | changed)


@pytest.mark.parametrize(
    ("text", "value", "kept"),
    [
        ("area <= 5 mm2", 5.0, True),
        ("area <= 5", 5.1, False),
        ("time <= 10 ms", 0.0101, False),
        ("time<=10ms", 0.0099, True),
        ("energy >= 3 uJ", 2e-6, False),
        ("cycles <= 2 M", 2e6, True),
        ("tops_per_watt >= 2", 3.0, True),
        ("tops_per_watt >= 2", None, False),
    ],
)
def test_constraints_and_their_units(text, value, kept):
    assert (constraint(text).violation(value) <= 0) == kept
