"""The comparison of methods: what it costs, and how it is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeword import inputs
from codeword.reports import machines
from codeword.reports.comparison import text as report
from codeword.reports.comparison.picture import COLOURS, encodings, pareto
from codeword.reports.comparison.text import NETWORKS, collect, settings
from sim import accelerator, artifact
from sim.errors import InputError
from sim.network import CodebookWeight, Conv, Network, TensorSpec
from sim.systolic import engine

COST = {
    "accelerator": "ews-16",
    "settings": [],
    "bit_exact": True,
    "cycles": 1234,
    "prices": {"mvq40": {"energy_uj": 1.5, "area_mm2": None}, "sg13g2": {"energy_uj": 70.0, "area_mm2": 9.0}},
    "verified_words": 10,
    "verify_mismatches": 0,
    "verify_cycles": [7, 7],
}


def words(k: int, d: int) -> np.ndarray:
    return np.ones((k, d), np.int8)


def places(groups: int) -> np.ndarray:
    return np.zeros((groups, 3, 1, 1), np.uint16)


def recorded_costs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Puts COST in place of every run on a machine; file and method of each are in the list."""
    ran: list[tuple[str, str]] = []

    def cost(path: Path, method: str) -> dict[str, object]:
        ran.append((path.name, method))
        return COST

    monkeypatch.setattr(machines, "cost", cost)
    return ran


def run(method: str, seed: int, accuracy: float, **more: object) -> report.Run:
    return {
        "network": "resnet8",
        "method": method,
        "seed": seed,
        "accuracy": accuracy,
        "accuracy_integer": accuracy,
        "bits_per_weight": 1.5,
        "compression_ratio": 32 / 1.5,
        **more,
    }


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_pareto_keeps_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    expected = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)}
    front = pareto(points)
    assert set(front) == expected
    assert front == sorted(front)


def test_every_method_of_the_report_looks_like_no_other() -> None:
    methods = [run["method"] for run in json.loads(Path("reports/accuracy_vs_cost.json").read_text())]
    shown = encodings(methods)
    assert set(shown) == set(methods)
    assert len(set(shown.values())) == len(shown)
    families = {
        colour: {machines.family(method) for method in shown if shown[method][1] == colour}
        for _, colour in shown.values()
    }
    assert all(len(same) == 1 for same in families.values()), "one colour, two families"


def test_the_sparse_start_is_told_apart() -> None:
    runs = [run("mvq-1.5", 0, 0.90, accuracy_start=0.92), run("mvq-1.5", 1, 0.90, accuracy_start=0.94)]
    runs.append(run("vq-1.5", 0, 0.91))
    assert report._starts(report.rows(runs)) == "That sparse start, in float, has 93.00% on resnet8. "
    assert report._starts(report.rows(runs[2:])) == ""


def test_seeds_of_a_method_become_one_row() -> None:
    (row,) = report.rows([run("ssvq-2", 0, 0.90, cost=COST), run("ssvq-2", 1, 0.94), run("ssvq-2", 2, 0.92)])
    assert row.mean == pytest.approx(0.92)
    assert row.spread == pytest.approx(0.02)
    assert row.cost == COST


def test_a_difference_shows_in_the_table() -> None:
    wrong = COST | {"bit_exact": False, "verify_cycles": [7, 8]}
    text = report.text(report.rows([run("vq-2", 0, 0.9, cost=wrong)]), {"epochs": 1, "images": 2})
    assert text.count("DIFFERENT") == 2
    assert "unknown" in text
    right = report.text(report.rows([run("vq-2", 0, 0.9, cost=COST)]), {"epochs": 1, "images": 2})
    assert "DIFFERENT" not in right


def test_a_network_is_costed_on_its_machine_and_verified(tmp_path: Path) -> None:
    from algos.frontend.export import export
    from algos.methods import ssvq
    from algos.methods.ssvq import SsvqConfig
    from tests.algos.small_models import images, resnet8

    model = resnet8()
    ssvq.cluster(model, SsvqConfig(k=8, d=8))
    artifact.save(export(model, images(16), name="resnet8"), tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text(json.dumps(run("ssvq-1.5", 0, 0.5)))
    (tmp_path / "b.json").write_text(json.dumps(run("ssvq-1.5", 1, 0.6)))
    first, second = collect(tmp_path)
    assert "cost" not in second
    cost = first["cost"]
    assert (cost["accelerator"], cost["settings"]) == ("ssvq-16", [])
    assert cost["bit_exact"]
    assert cost["verify_mismatches"] == 0
    assert cost["verify_cycles"][0] == cost["verify_cycles"][1] > 0
    assert json.loads((tmp_path / "a.json").read_text()) == first  # kept


def test_nothing_finished(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished run"):
        collect(tmp_path)


def test_every_method_has_a_machine() -> None:
    from codeword.reports.comparison.contenders import METHODS

    named = {method for methods in METHODS.values() for method in methods}
    assert {machines.family(method) for method in named} == {"vq", "vim-vq", "mvq", "ssvq", "vq4all"}
    assert set(COLOURS) == {machines.family(method) for method in ("float", *named)}
    assert set(METHODS) == set(NETWORKS)


@pytest.mark.parametrize(
    ("preset", "weight", "expected"),
    [
        ("ews-c-16", CodebookWeight(words(16, 4), places(4)), ["codeword_length=4"]),
        ("ews-c-16", CodebookWeight(words(2048, 8), places(2)), ["codebook_entries=2048"]),
        ("rom-16", CodebookWeight(words(8, 8), places(2), universal=True), ["codebook_entries=8"]),
        (
            "ews-cms-16",
            CodebookWeight(words(8, 4), places(4), np.zeros((4, 3, 1, 1, 2), np.uint16), 1, 2),
            ["codeword_length=4", "keep=1", "group=2", "tile_columns=4"],
        ),
    ],
)
def test_a_machine_is_set_to_the_format(preset: str, weight: CodebookWeight, expected: list[str]) -> None:
    layer = Conv("a", "input", weight, np.zeros(16, np.int32))
    network = Network("a", TensorSpec((3, 2, 2), 1.0, 0), (layer,))
    assert machines.settings(network, accelerator.load(preset)) == expected
    machine = inputs.accelerator(preset, expected)
    assert engine.simulate(network, machine, np.ones((1, 3, 2, 2), np.int8)).bit_exact


def test_imagenet_networks_have_machines_and_the_layers_that_are_verified() -> None:
    from algos.models.inverted_residual import SOURCES, InvertedResidualNet
    from codeword.reports.imagenet.train import RATES

    assert {method: machines.FAMILIES[machines.family(method)] for method in ("INT8", *RATES)} == {
        "INT8": "ews",
        "vq": "ews-c",
        "ssvq": "ssvq",
        "mvq 1:2": "ews-cms",
    }
    for name, source in SOURCES.items():
        assert machines.verified_layer(name) in InvertedResidualNet(source).body()


def test_methods_and_networks_of_other_names() -> None:
    with pytest.raises(InputError, match="method = 'awq-4'"):
        machines.family("awq-4")
    with pytest.raises(InputError, match="network = 'alexnet'"):
        machines.verified_layer("alexnet")


def test_the_report_says_how_the_runs_were_trained() -> None:
    runs = [
        run("float", 0, 0.9),
        run("vim-vq-1.5", 0, 0.8, images=512, epochs=0),
        run(
            "ssvq-1.5",
            0,
            0.8,
            images=20000,
            epochs=4,
            config={"freezing": {"interval": 25, "end": 2.5, "momentum": 1.0}},
        ),
    ]
    text = report.text(report.rows(runs), settings(runs))
    assert "has 4 epochs of 20,000 images" in text
    assert "sees 512 images without labels. Freezing examines signs every 25 updates" in text
    runs = [runs[0], runs[2] | {"config": {"freezing": None}}]
    text = report.text(report.rows(runs), settings(runs))
    assert "without labels" not in text
    assert "Freezing" not in text


def test_the_report_says_which_freezing_is_older() -> None:
    older = {"freezing": {"interval": 25, "end": 0.01, "momentum": 0.01}}
    runs = [run("float", 0, 0.9), run("ssvq-1.5", 0, 0.8, images=9, epochs=1, config=older)]
    assert "on resnet8 are of an older freezing" in settings(runs)["older"]
    assert not settings([runs[0], runs[1] | {"config": {}}])["older"]


def test_claims_are_told_seed_by_seed() -> None:
    runs = [
        run(method, seed, accuracy)
        for method, accuracies in (
            ("vq-1.5", (0.5, 0.6, 0.7)),
            ("mvq-1.5", (0.52, 0.61, 0.73)),
            ("ssvq-1.5", (0.52, 0.59, 0.73)),
            ("ssvq-1.5 fixed signs", (0.53, 0.6, 0.74)),
        )
        for seed, accuracy in enumerate(accuracies)
    ]
    lines = report.text(report.rows(runs), {"epochs": 1, "images": 2}).splitlines()
    claims = [
        tuple(cell.strip() for cell in line.split("|")[1:-1])
        for line in lines
        if line.startswith("|") and " over " in line
    ]
    assert [(claim[0], *claim[3:]) for claim in claims if claim[0] != "claim"] == [
        ("masked over plain VQ", "+2.00, +1.00, +3.00", "+2.00", "seen in every seed"),
        ("signs apart over plain VQ", "+2.00, -1.00, +3.00", "+1.33", "not seen"),
        ("learned over fixed signs", "-1.00, -1.00, -1.00", "-1.00", "the opposite in every seed"),
    ]
