"""The training loop: determinism, resuming, augmentation, bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from algos.data.fashion_mnist import Images
from algos.models.resnet import ResNet
from algos.training import Recipe, accuracy, augment, fit, history, normalize, training_layout
from sim.errors import InputError
from tests.algos.small_models import images

LAYOUTS = (torch.contiguous_format, torch.channels_last)
RECIPE = Recipe(epochs=3, rate=0.05, batch=16)


def net() -> ResNet:
    torch.manual_seed(0)
    return ResNet(8, 4)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_resumed_run_equals_uninterrupted_run(tmp_path: Path, optimizer: str) -> None:
    recipe, data = replace(RECIPE, optimizer=optimizer), images(48)
    whole = fit(net(), data, recipe)

    def interrupt() -> None:
        nonlocal steps
        steps += 1
        if steps == 5:  # within the second epoch
            raise Interrupted

    steps, path = 0, tmp_path / "run.pt"
    with pytest.raises(Interrupted):
        fit(net(), data, recipe, path, after_step=interrupt)
    assert len(history(path)) == 1
    resumed = fit(net(), data, recipe, path)
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert len(history(path)) == 3


def test_finished_run_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    trained = fit(net(), images(32), RECIPE, path)
    seen: list[int] = []
    again = fit(net(), images(32), RECIPE, path, lambda epoch, loss, seconds: seen.append(epoch))
    assert not seen
    assert torch.equal(again.fc.weight, trained.fc.weight)


def test_training_learns() -> None:
    torch.manual_seed(1)
    labels = torch.randint(0, 10, (64,))
    pixels = torch.randint(0, 30, (64, 1, 28, 28), dtype=torch.uint8)
    for pixel, label in zip(pixels, labels, strict=True):
        pixel[0, 4:24, 4:24] += 20 * label.to(torch.uint8)  # brightness tells the class
    data = Images(pixels, labels)
    losses: list[float] = []
    fit(
        net(),
        data,
        Recipe(epochs=12, rate=0.1, batch=32),
        report=lambda epoch, loss, seconds: losses.append(loss),
    )
    assert losses[-1] < 0.8 * losses[0]


def test_seed_decides_the_batches() -> None:
    one, other = (fit(net(), images(48), replace(RECIPE, epochs=1, seed=s)) for s in (0, 1))
    assert not torch.equal(one.fc.weight, other.fc.weight)


def test_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    fit(net(), images(32), replace(RECIPE, epochs=1), path)
    with pytest.raises(InputError, match="delete it or use its recipe"):
        fit(net(), images(32), replace(RECIPE, epochs=2), path)


def test_fewer_images_than_a_batch() -> None:
    with pytest.raises(InputError, match="images = 15: fewer than a batch of 16"):
        fit(net(), images(15), RECIPE)


def test_divergence_is_an_error() -> None:
    model = net()
    model.fc.weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match="loss = nan: diverged in epoch 1"):
        fit(model, images(32), RECIPE)


def test_augmentation_shifts_and_mirrors() -> None:
    pixels = torch.arange(1, 26, dtype=torch.uint8).reshape(1, 1, 5, 5).repeat(500, 1, 1, 1)
    out = augment(pixels, torch.Generator().manual_seed(0))
    padded = nn.functional.pad(pixels[0, 0], (2, 2, 2, 2))
    windows = [padded[y : y + 5, x : x + 5] for y in range(5) for x in range(5)]
    legal = {tuple(w.flatten().tolist()) for w in windows}
    legal |= {tuple(w.flip(1).flatten().tolist()) for w in windows}
    found = {tuple(image.flatten().tolist()) for image in out}
    assert found == legal
    assert len(legal) == 50


def test_bytes_become_zero_to_one() -> None:
    x = normalize(torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3))
    torch.testing.assert_close(x.flatten(), torch.tensor([0.0, 0.2, 1.0]))


def test_accuracy_is_the_share_of_right_answers() -> None:
    labels = torch.tensor([1, 2, 3, 4, 0])
    data = Images(torch.zeros(5, 1, 28, 28, dtype=torch.uint8), labels)
    answers = iter([torch.tensor([[0.0, 1, 0, 0, 0]]).expand(3, 5), torch.eye(5)[[4, 1]]])
    assert accuracy(lambda x: next(answers), data, batch=3) == 2 / 5


@pytest.mark.parametrize(("width", "layout"), [(4, torch.contiguous_format), (16, torch.channels_last)])
def test_narrow_shortcuts_are_not_trained_channels_last(width: int, layout: torch.memory_format) -> None:
    """oneDNN issue 6035: 1x1, stride 2, fewer channels than lanes."""
    seen = set()

    def see(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.update(one for one in LAYOUTS if inputs[0].is_contiguous(memory_format=one))

    torch.manual_seed(0)
    model = ResNet(8, width)
    assert training_layout(model) == layout
    narrow = [p for p in model.modules() if isinstance(p, nn.Conv2d) and p.kernel_size == (1, 1)]
    assert narrow
    for part in narrow:
        part.register_forward_pre_hook(see)
    fit(model, images(16), replace(RECIPE, epochs=1))
    assert seen == {layout}
