"""The shipped U-Net: what it was trained on, and that it predicts noise."""

from __future__ import annotations

import pytest
import torch

from algos import zoo
from algos.zoo.diffusion import HORIZON, RATE, SCHEDULE, WARM_UP, load_unet, pictures, rate

diffusers = pytest.importorskip("diffusers")


def test_pictures_are_means_of_four_pixels_in_a_black_frame() -> None:
    pixels = torch.arange(28 * 28).reshape(1, 1, 28, 28) % 256
    found = pictures(pixels.to(torch.uint8))
    assert found.shape == (1, 1, 16, 16)
    assert bool((found[:, :, 0] == -1).all())
    assert bool((found[..., -1] == -1).all())
    block = pixels[0, 0, 4:6, 10:12].float().mean() / 127.5 - 1
    assert float(found[0, 0, 3, 6]) == pytest.approx(float(block))


def test_rate_rises_and_falls() -> None:
    assert rate(WARM_UP // 2) == pytest.approx(RATE / 2, rel=0.01)
    assert rate(WARM_UP) > rate(HORIZON // 2) > rate(HORIZON) == pytest.approx(0)


def test_it_predicts_most_of_the_noise_and_needs_the_class_s_row() -> None:
    images = zoo.load_images()[1].first(100)
    clean, generator = pictures(images.pixels), torch.Generator().manual_seed(0)
    noise, time = torch.randn(clean.shape, generator=generator), torch.arange(100) * 10
    noisy = diffusers.DDPMScheduler(**SCHEDULE).add_noise(clean, noise, time)
    with torch.no_grad():
        errors = [
            float((load_unet()(noisy, time, class_labels=labels).sample - noise).square().mean())
            for labels in (images.labels, (images.labels + 5) % 10)
        ]
    assert errors[0] < 0.08
    assert errors[0] < errors[1]
