"""A small class-conditional U-Net for 16x16 Fashion-MNIST: `python -m algos.zoo.diffusion` trains it (resumable).

See unet_fashion/README.md.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from algos.data import fashion_mnist
from algos.resuming import save_atomically

FOLDER = Path(__file__).with_name("unet_fashion")
CLASSES = 10
UNCONDITIONAL = 10
"""The label of no class: 10 % of the labels in training, and the other half of classifier-free guidance."""
SIZE = 16
CONFIGURATION: dict[str, Any] = {
    "sample_size": SIZE,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 1,
    "block_out_channels": (24, 40),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
    "attention_head_dim": 8,
    "num_class_embeds": CLASSES + 1,
}
"""Of diffusers' UNet2DModel: 303,505 parameters."""
TRAINING_STEPS, BATCH, AVERAGING = 1300, 32, 0.997
RATE, WARM_UP, HORIZON = 2e-3, 100, 2400
"""Of Adam: the peak, updates of the rise, and where the cosine behind it would end."""
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "prediction_type": "epsilon",
}
"""Noise as DDPM's (Ho et al. 2020): betas from 1e-4 to 0.02, the network predicts the noise."""


def unet() -> nn.Module:
    """The network with random weights: (x float32 [n, 1, 16, 16], time steps, class_labels) -> `.sample` like x."""
    from diffusers import UNet2DModel

    return UNet2DModel(**CONFIGURATION)


def load_unet() -> nn.Module:
    """The trained network: exponential moving average of its weights, float32."""
    model = unet()
    model.load_state_dict(load_file(FOLDER / "unet.safetensors"))
    return model.eval()


def pictures(pixels: Tensor) -> Tensor:
    """uint8 [n, 1, 28, 28] -> float32 [n, 1, 16, 16] in -1..1: two black pixels around, means of 2x2."""
    return F.avg_pool2d(F.pad(pixels.float(), (2, 2, 2, 2)), 2) / 127.5 - 1


def rate(step: int) -> float:
    """Of Adam: a linear rise under half a cosine."""
    return RATE * min(step / WARM_UP, 1.0) * (1 + math.cos(math.pi * step / HORIZON)) / 2


def fit(model: nn.Module, images: Tensor, labels: Tensor, steps: int, checkpoint: Path) -> dict[str, Tensor]:
    """Trains to predict noise, and returns the averaged weights; goes on from a checkpoint."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(**SCHEDULE)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    generator = torch.Generator().manual_seed(0)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    start, running = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        generator.set_state(saved["generator"])
        average, start = saved["average"], saved["step"]
    for step in range(start, steps):
        optimizer.param_groups[0]["lr"] = rate(step + 1)
        chosen = torch.randint(len(images), (BATCH,), generator=generator)
        time = torch.randint(SCHEDULE["num_train_timesteps"], (BATCH,), generator=generator)
        noise = torch.randn(BATCH, *images.shape[1:], generator=generator)
        dropped = torch.rand(BATCH, generator=generator) < 0.1
        label = torch.where(dropped, UNCONDITIONAL, labels[chosen])
        noisy = scheduler.add_noise(images[chosen], noise, time)
        loss = F.mse_loss(model(noisy, time, class_labels=label).sample, noise)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        keep = min(AVERAGING, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            average[name].lerp_(value, 1 - keep)
        running += (loss.item() - running) * (0.02 if step else 1)
        if (step + 1) % 100 == 0:
            print(f"unet: step {step + 1}, loss {running:.4f}", flush=True)
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            save_atomically(state | {"generator": generator.get_state(), "average": average}, checkpoint)
    return average


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of the IDX files")
    parser.add_argument("--work", type=Path, default=Path("runs/diffusion"), help="checkpoints")
    options = parser.parse_args()
    torch.set_num_threads(1)
    training, _ = fashion_mnist.load(options.data)
    torch.manual_seed(0)
    average = fit(
        unet(), pictures(training.pixels), training.labels, TRAINING_STEPS, options.work / "unet.pt"
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in average.items()}, FOLDER / "unet.safetensors")


if __name__ == "__main__":
    main()
