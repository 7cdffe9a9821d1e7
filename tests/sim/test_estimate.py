"""Whole networks: published figures, formats, and equality with the engine."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sim import accelerator
from sim.errors import InputError
from sim.estimate import Estimate, estimate
from sim.network import CodebookWeight, Conv
from sim.shapes import ConvShape
from sim.systolic.engine import simulate
from sim.systolic.streams import native_formats, stream_format
from sim.workloads import WORKLOADS, workload
from tests.sim.network.networks import masked_weight, small_network


def resnet18(preset: str, **options: str) -> Estimate:
    return estimate(workload("resnet18").shapes, accelerator.preset(preset), **options)


def formats(found: Estimate) -> dict[str, tuple[str, int]]:
    return {
        layer.counts.name: (layer.counts.schedule.format, layer.counts.schedule.codewords)
        for layer in found.layers
        if layer.counts.schedule
    }


def test_resnet18_published_figures() -> None:
    found = resnet18("ews-cms-64").to_json()
    assert found["macs"] == 1_814_073_344
    assert found["peak_tops"] == pytest.approx(2.458, abs=0.001)
    assert found["area_mm2"]["total"] == pytest.approx(11.68, rel=0.001)


def test_json_has_the_common_names_and_survives_the_trip() -> None:
    found = json.loads(json.dumps(resnet18("ews-64").to_json(), allow_nan=False))
    common = {
        "macs",
        "cycles",
        "stall_cycles",
        "utilization",
        "energy_pj",
        "time_s",
        "tops",
        "tops_per_watt",
        "tops_per_watt_with_dram",
    }
    assert common | {"area_mm2", "layers"} <= found.keys()
    assert all(common | {"name"} <= layer.keys() for layer in found["layers"])
    for field in ("macs", "cycles"):
        assert sum(layer[field] for layer in found["layers"]) == found[field]
    parts = {k: v for k, v in found["energy_pj"].items() if not k.startswith("total")}
    assert sum(parts.values()) == pytest.approx(found["energy_pj"]["total"])


def test_physical_multiplications_of_sparse_tiles() -> None:
    """A quarter everywhere but in the dense stem and classifier (MVQ: 1.81G becomes 0.54G).

    Folded, the stem also multiplies zeros on the sparse machine: 9 kernel rows of 7 (docs/timing.md section 7).
    """
    found = resnet18("ews-cms-64")
    stem, classifier, whole = 118_013_952, 512_000, 1_814_073_344
    zeros = stem * 2 / 7
    rest = whole - stem - classifier
    assert found.cost.multiplications == pytest.approx(stem + zeros + classifier + rest / 4, rel=0.01)
    assert resnet18("ews-cm-64").cost.multiplications == pytest.approx(whole, rel=0.01)


def test_native_formats_and_exclusions() -> None:
    by_name = formats(resnet18("ews-cms-64"))
    assert by_name["conv1"] == by_name["fc"] == ("split", 0)
    assert by_name["layer1.0.conv1"] == ("mvq", 512)
    assert by_name["layer2.0.shortcut"] == ("mvq", 128 * 64 // 16 // 2)
    assert set(formats(resnet18("ews-64")).values()) == {("dense", 0)}
    assert formats(resnet18("ews-c-64"))["layer1.0.conv1"] == ("vq", 1024)
    assert resnet18("ews-cms-64").exclusions == {"conv1": "first convolution", "fc": "classifier"}


def test_native_formats_say_why_a_layer_stays_dense() -> None:
    first, last = (ConvShape(name, 64, 64, (3, 3), size=(8, 8)) for name in ("first", "last"))
    odd = ConvShape("odd", 64, 24, (3, 3), size=(8, 8))
    tiny = ConvShape("tiny", 2, 16, size=(8, 8))
    product = ConvShape("product", 64, 64, size=(8, 1), dynamic=True)
    depthwise = ConvShape("depthwise", 64, 64, (3, 3), size=(8, 8), groups=64)
    found = native_formats((first, odd, tiny, product, depthwise, last), accelerator.preset("ews-cms-64"))
    assert found == {
        "first": ("split", 0, "first convolution"),
        "odd": ("split", 0, "24 output channels, not a multiple of d = 16"),
        "tiny": ("split", 0, "only 2 sub-vectors"),
        "product": ("split", 0, "two activations"),
        "depthwise": ("block", 0, "grouped"),
        "last": ("split", 0, "classifier"),
    }


@pytest.mark.parametrize("objective", ["energy", "cycles"])
def test_objectives_win_at_what_they_minimise(objective: str) -> None:
    def value(other: str) -> float:
        cost = resnet18("ews-cm-32", objective=other).cost
        return {"energy": cost.total_pj, "cycles": cost.cycles}[objective]

    assert value(objective) <= min(value("edp"), value("cycles"), value("energy"))


def test_extension_factors_save_memory_traffic() -> None:
    ws, ews = resnet18("ws-64").cost, resnet18("ews-64").cost
    assert ews.energy_pj["l1"] < ws.energy_pj["l1"] / 1.5
    assert ews.cycles < ws.cycles


@pytest.mark.parametrize("preset", ["ws-16", "ews-16", "ews-cm-16", "ews-cms-16", "ews-cms-32"])
def test_equals_the_engine_layer_by_layer(preset: str) -> None:
    machine = accelerator.preset(preset)
    network = small_network(d=16, keep=4, size=7)
    images = np.random.default_rng(3).integers(-128, 128, (2, 1, 7, 7)).astype(np.int8)
    run = simulate(network, machine, images)
    assert run.bit_exact
    expected = [layer.counts for layer in estimate(network, machine).layers]
    assert [replace(layer, gated=None) for layer in run.layers] == expected


X = ConvShape("x", 2, 16, (3, 3), size=(3, 3))


def masked(d: int = 16, k: int = 8, keep: int = 4) -> CodebookWeight:
    rng = np.random.default_rng(0)
    codebook = rng.integers(-128, 128, (k, d)).astype(np.int8)
    return masked_weight(rng, codebook, d, 2, keep, d)


def test_dense_machine_runs_any_file() -> None:
    assert stream_format(masked(), accelerator.preset("ws-16"), X) == ("dense", 0)


def test_codebook_machine_runs_its_own_format_and_dense_layers() -> None:
    machine = accelerator.preset("ews-cms-16")
    assert stream_format(masked(), machine, X) == ("mvq", 8)
    dense = small_network().layers[0]
    assert isinstance(dense, Conv)
    assert stream_format(dense.weight, machine, X) == ("split", 0)
    assert stream_format(dense.weight, accelerator.preset("ews-cm-16"), X) == ("dense", 0)


@pytest.mark.parametrize(
    ("preset", "weight", "message"),
    [
        ("ews-cms-16", masked(d=8), r"x\.weight = 'mvq 4:8'.*runs mvq 4:16"),
        ("ews-cms-16", masked(keep=8), r"x\.weight = 'mvq 8:16'.*runs mvq 4:16"),
        (
            "ews-cms-16",
            CodebookWeight(masked().codebook, masked().assignments),
            r"x\.weight = 'vq'.*runs mvq 4:16",
        ),
        ("ews-cm-16", masked(k=600), r"x\.k = 600.*holds 512"),
        ("ews-c-16", masked(d=8), r"x\.weight = 'mvq 4:8'.*runs vq"),
    ],
)
def test_other_formats_are_refused(preset: str, weight: CodebookWeight, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stream_format(weight, accelerator.preset(preset), X)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize("machine", ["ews-64", "ews-cms-64", "ssvq-64"])
def test_every_workload_maps(name, machine):
    """No layer of a known network is too large for the published memories."""
    found = workload(name)
    result = estimate(found, accelerator.preset(machine))
    assert result.cost.macs == found.passes * found.macs
    assert result.cost.cycles > result.cost.macs / 64**2
