"""Small video models of moving shapes: `python -m algos.zoo.video` trains them (resumable).

See video_shapes/README.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from algos.data import shapes
from algos.recipe import Recipe
from algos.trainer import Forward, Trainer
from algos.video import masks, models, process, schedules
from algos.video.masks import CodeTable
from algos.video.models import Judge, VideoModel
from algos.video.store import Store, inverted
from sim.errors import InputError, nearest
from sim.files import write_whole
from sim.steps import steps

FOLDER = Path(__file__).with_name("video_shapes")
CLIPS = {"dit": 2_000, "unet": 1_600, "judge": 6_000}
CALIBRATED, CALIBRATION_STEPS = 12, 10
"""Clips, and the steps of FreeMask's calibration."""
UNCONDITIONAL = 0.12
"""Share of the clips that are shown without their caption, so that guidance has a model of no words."""
MODELS = {"dit": models.dit, "unet": models.unet}
_SMALL: dict[str, dict[str, Any]] = {
    "dfvedit": {"source_scale": 3.0, "target_scale": 3.0, "threshold": 0.5, "reinforce": "none"},
    "freemask": {"scale": 3.0},
    "sdedit": {"scale": 3.0, "strength": 0.5},
}
SETTINGS = {(method, name): values for method, values in _SMALL.items() for name in MODELS}
"""Chosen on three training scenes with the transformer: guidance of 5 and 15 saturates pixels of models this small."""
_GENERATOR = Recipe(
    epochs=1,
    rate=1e-3,
    optimizer="adamw",
    batch=8,
    warm_up=0.05,
    decay=0.01,
    schedule="cosine",
    clip=1.0,
    precision="float32",
)
RECIPES = {
    "dit": replace(_GENERATOR, epochs=6, rate=1.5e-3),
    "unet": replace(_GENERATOR, epochs=8, rate=3e-3),
    "judge": Recipe(epochs=6, rate=4e-3, optimizer="adamw", batch=32, schedule="cosine", precision="float32"),
}

Model = TypeVar("Model", bound=nn.Module)


@cache
def model(name: str) -> VideoModel:
    """A shipped model, "dit" (a Wan transformer that predicts flow) or "unet" (3D, predicts noise).

    Raises:
        InputError: no such model.
    """
    if name not in MODELS:
        raise InputError("--model", name, "unknown", nearest(name, MODELS))
    return _load(name, MODELS[name]())


def codes(name: str) -> CodeTable | None:
    """The code table of a model, if it has one."""
    path = FOLDER / f"{name}_codes.json"
    return CodeTable.load(path) if path.exists() else None


def settings(method: str, name: str) -> dict[str, Any]:
    """What a method is told beside its defaults, which are those of real models."""
    return SETTINGS.get((method, name), {})


def load_judge() -> Judge:
    """The classifier of clips."""
    return _load("judge", Judge())


def _load(name: str, model: Model) -> Model:
    state = load_file(FOLDER / f"{name}.safetensors")
    model.load_state_dict({key: value.float() for key, value in state.items()})
    return model.eval().requires_grad_(False)


def _texts(model: Any, labels: Tensor) -> Tensor:
    """Of captions, some of which are left away."""
    shown = torch.rand(len(labels)) >= UNCONDITIONAL
    return model.text(
        [text if seen else "" for text, seen in zip(shapes.captions(labels), shown, strict=True)]
    )


def flow(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """Flow matching: noise minus clip, at sigmas that are shifted to where edits work."""
    clips, labels = batch
    sigma = schedules.shifted(torch.rand(len(clips)), 2.0)
    noise, level = torch.randn_like(clips), sigma.view(-1, 1, 1, 1, 1)
    noisy = level * noise + (1 - level) * clips
    return model(noisy, schedules.TRAINED * sigma, _texts(model, labels)), noise - clips


def noise(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """DDPM: the noise at a random step."""
    clips, labels = batch
    times = torch.randint(schedules.TRAINED, (len(clips),))
    kept = schedules.alpha_bars()[times].float().view(-1, 1, 1, 1, 1)
    added = torch.randn_like(clips)
    return model(kept.sqrt() * clips + (1 - kept).sqrt() * added, times, _texts(model, labels)), added


def judged(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """Attributes of clips under a little noise, as edited clips are not clean."""
    clips, labels = batch
    return model(clips + 0.1 * torch.randn_like(clips)).transpose(1, 2), labels


BUILDS: dict[str, tuple[Callable[[], nn.Module], Forward, Callable[..., Tensor]]] = {
    "dit": (MODELS["dit"], flow, F.mse_loss),
    "unet": (MODELS["unet"], noise, F.mse_loss),
    "judge": (Judge, judged, F.cross_entropy),
}


def build(name: str, work: Path) -> None:
    """Trains one model and writes its file."""
    torch.manual_seed(0)
    make, forward, loss = BUILDS[name]
    model, recipe = make(), RECIPES[name]
    judging = name == "judge"
    data = shapes.Shapes(CLIPS[name], shapes.SCENES if judging else shapes.TRAINED)
    loader = DataLoader(data, recipe.batch, shuffle=True, drop_last=True)
    work.mkdir(parents=True, exist_ok=True)
    Trainer(
        model,
        loader,
        loss,
        recipe,
        forward=forward,
        checkpoint=work / f"{name}.pt",
        every=100,
        report=lambda epoch, mean, seconds: print(
            f"{name}: epoch {epoch}, loss {mean:.4f}, {seconds:.0f} s", flush=True
        ),
    ).run()
    write(name, model)


def write(name: str, model: nn.Module) -> None:
    """The file of a trained model, in float16 but for the judge."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = torch.float32 if name == "judge" else torch.float16
    state = {key: value.to(kept).contiguous() for key, value in model.state_dict().items()}
    write_whole(FOLDER / f"{name}.safetensors", safetensors.torch.save(state))


def calibrate() -> None:
    """Writes the U-Net's code table: mask matching costs of training clips in inversions of ten steps."""
    unet, data = model("unet"), shapes.Shapes(CALIBRATED, first=30_000)
    path, costs = process.levels(unet, CALIBRATION_STEPS), []
    for place, scene in enumerate(steps(data.scenes, "calibration", len(data))):
        store = Store(kinds=("cross",))
        inverted(unet, data.pixels[place : place + 1], unet.text([scene.caption]), path, store)
        named = unet.text.split(scene.caption).index(scene.form)
        found = [{name: each.float() for name, each in step.maps.items()} for step in store.steps]
        costs.append(masks.matching_costs(found, [named], data.masks[place], masks.THRESHOLD))
    mean = torch.stack(costs).mean(0)
    table = CodeTable(tuple(found[0]), tuple(map(tuple, mean.tolist())), len(data), masks.THRESHOLD)
    table.save(FOLDER / "unet_codes.json")
    print(f"{table.layer} at step {table.step(CALIBRATION_STEPS)} of {CALIBRATION_STEPS}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/video"), help="checkpoints")
    parser.add_argument("parts", nargs="*", default=[*BUILDS, "codes"], help="dit, unet, judge, codes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.parts:
        if name == "codes":
            calibrate()
        else:
            build(name, options.work)


if __name__ == "__main__":
    main()
