"""Small Vim and DeiT on Fashion-MNIST: `python -m algos.zoo.tokens` trains them (resumable).

See tokens_fashion/README.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from algos.data import fashion_mnist
from algos.models.deit import DeiT
from algos.models.vim import Vim
from algos.training import Recipe, accuracy, fit

FOLDER = Path(__file__).with_name("tokens_fashion")
MODELS = {"vim": Vim, "deit": DeiT}
RECIPE = Recipe(epochs=4, rate=3e-3, optimizer="adamw", batch=64, decay=0.05)

Model = TypeVar("Model", bound=nn.Module)


def load_vim() -> Vim:
    """The trained Vim, float32."""
    return _load("vim", Vim())


def load_deit() -> DeiT:
    """The trained DeiT, float32."""
    return _load("deit", DeiT())


def _load(name: str, model: Model) -> Model:
    model.load_state_dict(load_file(FOLDER / f"{name}.safetensors"))
    return model.eval()


def build(name: str, data: str | None, work: Path) -> None:
    """Trains one model, writes its file and prints its accuracy."""
    training, test = fashion_mnist.load(data)
    torch.manual_seed(0)
    model = MODELS[name]()
    fit(
        model,
        training,
        RECIPE,
        work / f"{name}.pt",
        lambda epoch, loss, seconds: print(
            f"{name}: epoch {epoch}, loss {loss:.4f}, {seconds:.0f} s", flush=True
        ),
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, FOLDER / f"{name}.safetensors")
    print(f"{name}: {accuracy(model, test):.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of the IDX files")
    parser.add_argument("--work", type=Path, default=Path("runs/tokens"), help="checkpoints")
    parser.add_argument("models", nargs="*", default=list(MODELS), help="vim, deit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.models:
        build(name, options.data, options.work)


if __name__ == "__main__":
    main()
