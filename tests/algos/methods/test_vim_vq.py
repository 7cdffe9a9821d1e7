"""ViM-VQ: hulls, replacement, confirmation, and the equality of soft and hard network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from algos.methods import vim_vq
from algos.methods.vim_vq import HardWeight, VimVqConfig, calibrate, harden, soften, storage, variant
from algos.models.vim import Vim
from algos.weights.soft import SoftAssignment
from sim.errors import InputError
from tests.algos.small_models import images

CONFIG = VimVqConfig(k=8, d=4, steps=12, batch=4, replace_every=3, rate_codebook=1e-3)


def tiny(seed: int = 0) -> Vim:
    torch.manual_seed(seed)
    return Vim(16, 2).eval()


def compressed(model: nn.Module) -> list[HardWeight]:
    return [part for part in model.modules() if isinstance(part, HardWeight)]


def pixels() -> Tensor:
    return images(5, seed=3).pixels / 255


@pytest.mark.parametrize("axis", ["input", "output"])
def test_soft_equals_hard_after_confirmation(axis: str) -> None:
    model = tiny()
    soften(model, images(8), replace(CONFIG, axis=axis))
    mixes = [part for part in model.modules() if isinstance(part, SoftAssignment)]
    assert len(mixes) == 2 * 6
    assert all(bool(mix.confirmed.all()) for mix in mixes)
    soft = model(pixels())
    harden(model)
    assert torch.equal(model(pixels()), soft)


def test_without_confirmation_something_is_truncated() -> None:
    model = tiny()
    soften(model, images(8), variant("convex", CONFIG))
    soft = model(pixels())
    mixes = [part for part in model.modules() if isinstance(part, SoftAssignment)]
    best = [mix.candidates.gather(1, mix.logits.argmax(1, keepdim=True))[:, 0] for mix in mixes]
    harden(model)
    assert (model(pixels()) - soft).abs().max() > 1e-4
    for code, weight in zip(best, compressed(model), strict=True):
        assert torch.equal(weight.assignments, code)


@pytest.mark.parametrize("axis", ["input", "output"])
def test_weights_are_codewords_along_the_axis(axis: str) -> None:
    model = tiny()
    calibrate(model, images(8), replace(CONFIG, axis=axis))
    for layer in model.body().values():
        if layer is model.head:
            continue
        weight = layer.weight if axis == "input" else layer.weight.T
        pieces = weight.detach().unflatten(-1, (-1, 4)).flatten(0, -2)
        assert len(pieces.unique(dim=0)) <= 8


def test_plain_vq_takes_the_nearest_codeword() -> None:
    model, before = tiny(), tiny()
    calibrate(model, images(8), variant("kmeans", CONFIG))
    weight = compressed(model)[0]
    vectors = before.blocks[0].in_proj.weight.detach().reshape(-1, 4)
    distances = (vectors[:, None] - weight.codebook()[None]).square().sum(2)
    assert torch.equal(distances.argmin(1), weight.assignments)


def test_confirmation_is_forced_on_schedule_and_monotone(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: dict[int, list[int]] = {}
    forced = SoftAssignment.confirm_top

    def counted(mix: SoftAssignment, fraction: float) -> None:
        forced(mix, fraction)
        counts.setdefault(id(mix), []).append(int(mix.confirmed.sum()))
        assert counts[id(mix)][-1] >= fraction * len(mix.code)

    monkeypatch.setattr(SoftAssignment, "confirm_top", counted)
    soften(tiny(), images(8), CONFIG)
    assert len(counts) == 12
    for course in counts.values():
        assert course == sorted(course)
        assert len(course) == CONFIG.steps
        assert course[2] < course[8] < course[11]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.booleans())
def test_replacement(seed: int, n: int, ties: bool) -> None:
    """Vertices stay distinct, the best one and the ratios stay, confirmed ones do not move, and each
    newcomer is nearer to the mixture than the vertex of least ratio that it replaces."""
    generator = torch.Generator().manual_seed(seed)
    codebook = torch.randn(9, 2, generator=generator)
    held = torch.stack([torch.randperm(9, generator=generator)[:n] for _ in range(20)])
    logits = torch.zeros(20, n) if ties else torch.randn(20, n, generator=generator)
    mix = SoftAssignment(held, logits)
    mix.confirm_top(0.25)
    vim_vq.replace_farthest(mix, codebook)
    assert torch.equal(mix.logits, logits)
    ratios, moved = logits.softmax(1), 0
    for row in range(20):
        now, old = mix.candidates[row].tolist(), held[row].tolist()
        assert len(set(now)) == n
        changed = [j for j in range(n) if now[j] != old[j]]
        mixture = sum(ratios[row, j] * codebook[old[j]] for j in range(n))
        distance = (codebook - mixture).norm(dim=1)
        others = [c for c in range(9) if c not in old]
        nearest = min(others, key=lambda c, distance=distance: float(distance[c]))
        best = int(ratios[row].argmax())
        assert best not in changed
        if mix.confirmed[row]:
            assert not changed
            continue
        lowest = min((j for j in range(n) if j != best), key=lambda j, row=row: float(ratios[row, j]))
        if distance[nearest] < distance[old[lowest]] - 1e-5:
            assert changed == [lowest]
            assert now[lowest] == nearest
            moved += 1
        elif distance[nearest] > distance[old[lowest]] + 1e-5:
            assert not changed
    assert moved


def test_one_candidate_is_never_replaced() -> None:
    mix = SoftAssignment(torch.tensor([[3]]), torch.zeros(1, 1))
    vim_vq.replace_farthest(mix, torch.arange(5.0)[:, None])
    assert mix.candidates.tolist() == [[3]]


def test_calibration_beats_plain_vq_on_the_float_stream() -> None:
    data, reference = images(32), tiny()
    errors = {}
    for method in ("kmeans", "vim-vq"):
        model = tiny()
        calibrate(model, data, variant(method, replace(CONFIG, steps=80, rate_codebook=2e-3)))  # type: ignore[arg-type]
        with torch.no_grad():
            x = reference.patches(data.pixels / 255)
            errors[method] = float((model.blocks[0](x) - reference.blocks[0](x)).square().mean())
    assert errors["vim-vq"] < 0.8 * errors["kmeans"]


def test_repeats_to_the_bit_and_reads_no_labels() -> None:
    first, again = tiny(), tiny()
    calibrate(first, images(8), CONFIG)
    data = images(8)
    calibrate(again, replace(data, labels=data.labels.flip(0)), CONFIG)
    assert torch.equal(first(pixels()), again(pixels()))


def test_only_projections_change() -> None:
    model, before = tiny(), tiny().state_dict()
    calibrate(model, images(8), CONFIG)
    for name, value in model.state_dict().items():
        if "parametrizations" not in name:
            assert torch.equal(value, before[name]), name


def test_bits() -> None:
    """By hand: 3 bits a sub-vector of 4, and a codebook of 8 x 4 bytes for each of 6 layers."""
    model = tiny()
    calibrate(model, images(8), CONFIG)
    found = storage(model)
    weights = 2 * (16 * 64 + 32 * 16 + 2 * (32 * 24 + 8 * 32))
    assert (found.weights, found.assignments) == (weights, weights // 4 * 3)
    assert found.codebooks == 2 * 6 * 8 * 4 * 8


def test_methods_of_comparison() -> None:
    model = tiny()
    soften(model, images(8), variant("dkm", CONFIG))
    mix = next(part for part in model.modules() if isinstance(part, SoftAssignment))
    assert mix.candidates.shape[1] == 8
    assert not mix.confirmed.any()
    model = tiny()
    soften(model, images(8), variant("vq4dit", replace(CONFIG, steps=0)))
    mix = next(part for part in model.modules() if isinstance(part, SoftAssignment))
    assert mix.candidates.shape[1] == 2
    assert (mix.ratios()[:, 0] >= mix.ratios()[:, 1]).all()


@pytest.mark.slow
def test_vq4dit_trains_biases_and_confirms_what_is_decided_alone() -> None:
    """Nothing is forced: with few steps most stay open; biases move, and only with this method."""
    for name, moves in (("vq4dit", True), ("vim-vq", False)):
        model, before = tiny(), tiny()
        soften(model, images(8), variant(name, CONFIG))  # type: ignore[arg-type]
        biases = [p for n, p in model.named_parameters() if n.endswith("dt_proj.bias")]
        old = [p for n, p in before.named_parameters() if n.endswith("dt_proj.bias")]
        assert len(biases) == 4
        assert all(torch.equal(a, b) for a, b in zip(biases, old, strict=True)) != moves
        mixes = [part for part in model.modules() if isinstance(part, SoftAssignment)]
        assert any(len(mix.open()) for mix in mixes) == moves
        for mix in mixes:
            assert mix.ratios().amax(1).le(CONFIG.threshold).all()


@pytest.mark.slow
def test_the_penalty_decides_ratios() -> None:
    """With the reference's weight the largest ratio is nearer to 1 than with none."""
    largest = {}
    for weight in (0.0, 1.0):
        model = tiny()
        soften(model, images(8), replace(variant("convex", CONFIG), steps=60, ratio_weight=weight))
        mixes = [part for part in model.modules() if isinstance(part, SoftAssignment)]
        largest[weight] = float(torch.cat([mix.ratios().detach().amax(1) for mix in mixes]).mean())
    assert largest[1.0] > largest[0.0] + 0.02
    assert largest[1.0] > 0.8


def test_input_codewords_do_not_run_on_the_machine() -> None:
    model = tiny()
    calibrate(model, images(8), CONFIG)
    with pytest.raises(InputError, match="calibrate with axis='output'"):
        compressed(model)[0].stored()


def test_stored_weight_is_the_weight() -> None:
    model = tiny()
    calibrate(model, images(8), replace(CONFIG, axis="output"))
    layer = model.blocks[0].in_proj
    weight = compressed(model)[0]
    found = torch.from_numpy(weight.stored().decode())[:, :, 0, 0] * weight.codebook.scale
    torch.testing.assert_close(found, layer.weight.detach())


def test_bad_input() -> None:
    with pytest.raises(InputError, match="batches = 3: fewer samples than a batch of 4"):
        calibrate(tiny(), images(3), CONFIG)
    with pytest.raises(InputError, match="d = 5"):
        calibrate(tiny(), images(4), replace(CONFIG, d=5))
