"""The diffusion report: its measures against definitions, its rows, its hardware figures, its page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")

import codeword
from algos import zoo
from algos.diffusion.model import layers
from algos.zoo.diffusion import load_unet, pictures
from codeword.reports.diffusion import hardware, measure, text
from codeword.reports.diffusion.energy import energy_cost, known
from codeword.reports.diffusion.metrics import Features, frechet, psnr, seen, ssim
from codeword.reports.diffusion.settings import NAIVE, SETTINGS
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.workloads import workload


def random(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_psnr_and_ssim() -> None:
    x = random(4, 0)
    assert psnr(x + 0.2, x) == pytest.approx(20)  # 10 log10(2^2 / 0.2^2)
    assert psnr(x, x) == pytest.approx(60)
    assert ssim(x, x) == pytest.approx(1, abs=1e-4)
    assert ssim(random(4, 1), x) < 0.2
    assert ssim(1 - (x + 1) / 2, (x + 1) / 2) < 0


def test_frechet_of_normal_distributions() -> None:
    """Between diagonal ones: squared difference of means plus that of standard deviations."""
    x = torch.randn(4000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T
    scale, shift = torch.tensor([2.0, 1.0, 0.5]).double(), torch.tensor([0.0, 3.0, 0.0]).double()
    assert frechet(x * scale + shift, x) == pytest.approx(1 + 0.25 + 9, rel=1e-6)
    assert frechet(x, x) == pytest.approx(0, abs=1e-6)


def test_features_are_the_classifier_s() -> None:
    images = zoo.load_images()[1].first(40)
    small, model = pictures(images.pixels), zoo.load_float()
    features = Features(model)
    with torch.no_grad():
        scores = model(seen(small))
    assert torch.equal(features.classes(small), scores.argmax(1))
    assert features.vectors(small).shape == (40, 64)
    assert features.distance(small, small) == 0
    near, far = features.distance(small + 0.02, small), features.distance(random(40, 1), small)
    assert 0 < near < far
    assert float((seen(small) - images.pixels / 255).abs().mean()) < 0.08


def test_a_row_is_kept_and_the_time_layers_do_not_see_the_picture(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(measure, "FINAL", 20)
    monkeypatch.setattr(measure, "CALIBRATION", 4)
    measure.reference.cache_clear()
    setting = replace(NAIVE, pictures=10, tables=True)
    features = Features(zoo.load_float())
    row = measure._row(setting, features, tmp_path)
    assert row["mse"] > 0
    assert row["bits_a_weight"] == 4
    kept = tmp_path / f"{setting.file}.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"psnr": 1.5}))
    assert measure._row(setting, features, tmp_path)["psnr"] == 1.5
    measure.reference.cache_clear()


def test_files_of_settings_are_their_own() -> None:
    assert len({one.file for one in SETTINGS}) == len(SETTINGS)


def test_time_layers_of_stable_diffusion() -> None:
    names = [shape.name for shape in workload("sd-v1-4").shapes if hardware.is_time(shape.name)]
    assert len(names) == 2 + 22  # one for each residual block: 8 down, 2 in the middle, 12 up


def test_energy_of_a_layer_by_its_bits() -> None:
    shapes = [shape for shape in workload("resnet20").shapes if isinstance(shape, ConvShape)][:3]
    cost = energy_cost(shapes, {8: "ews-16", 4: "ews-c-16"})
    whole = codeword.estimate(shapes, "ews-16")
    assert sum(cost(one.name, (8, 8)) for one in shapes) == pytest.approx(
        sum(layer.cost.total_pj for layer in whole.layers) * 1e-6
    )
    assert cost(shapes[1].name, (4, 8)) < cost(shapes[1].name, (8, 8))
    with pytest.raises(InputError, match="at 3 bits"):
        cost(shapes[0].name, (3, 8))
    assert known({8: "ews-64", 4: "nobody-64"}) == {8: "ews-64"}


def test_the_page_of_the_stored_figures(tmp_path: Path) -> None:
    out = Path("reports/diffusion.json")
    assert text.page(json.loads(out.read_text())) == out.with_suffix(".md").read_text()


def test_the_shipped_network_draws() -> None:
    model = load_unet()
    assert sum(p.numel() for p in model.parameters()) == 303_505
    assert len(layers(model)) > 40
    found = measure.drawn(model, 50)
    classes = Features(zoo.load_float()).classes(found)
    assert float((classes == torch.arange(50) % 10).float().mean()) > 0.2
