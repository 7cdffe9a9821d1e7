"""What users name as MODEL and as its data becomes modules, networks of integers and samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeword import inputs
from sim.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import nn

    from algos.data.samples import Samples
    from sim.network import Network

BATCH = 32
"""Samples that are calibrated on at once."""

TRAINED = 128
"""Samples of a batch to train on, where no option of the method says it."""

PIXELS = (1 / 255, -128)
"""Scale and zero point of the input of our own networks: byte - 128, real values 0..1."""

Say = Callable[[str], None]


def own(name: str) -> bool:
    """Whether it is one of our own networks for grey 28x28 pictures, or is named like one."""
    return ":" not in name and Path(name).suffix not in (".pt2", ".onnx")


def title(name: str) -> str:
    """Of the network in its file."""
    return name.rpartition(":")[2] if ":" in name and not Path(name).exists() else Path(name).stem


def loaded(name: str, threads: int, say: Say) -> nn.Module | Network:
    """A module, or the integers of what is quantized already.

    Args:
        threads: of PyTorch from here on.
        say: called with each line about an import.

    Raises:
        InputError: unknown, unreadable, or a float .onnx file.
    """
    if Path(name).suffix == ".onnx":
        return inputs.quantized_onnx(name, say)
    with inputs.extra():
        _set_threads(threads)
        from algos import checkpoint, sources, zoo
        from algos.frontend import pt2e

        if Path(name).suffix == ".pt2":
            program = sources.program(name)
            if not pt2e.quantized(program):
                return sources.runnable(program, name)
            found = pt2e.import_program(program, title(name))
            for line in found.summary():
                say(line)
            return found.network
        if ":" in name:
            return sources.function(name)
        if name in zoo.NAMES:
            return zoo.load(name)
        if Path(name).suffix == ".safetensors":
            return checkpoint.load(name)
        fix = f"{nearest(name, zoo.NAMES)}; or {sources.FORM}; or give a .pt2 or .onnx file"
        raise InputError("model", name, "unknown", fix)


def trainable(name: str, threads: int) -> nn.Module:
    """A user's module, whose layers a method can change.

    Raises:
        InputError: a file of a program, or no such function.
    """
    with inputs.extra():
        from algos import sources

        if ":" not in name:
            problem = "is a recorded program, which has no layers to train"
            raise InputError("model", name, problem, sources.FORM)
        _set_threads(threads)
        return sources.function(name)


def _set_threads(count: int) -> None:
    if count < 1:
        raise InputError("threads", count, "not positive", "give 1 or more")
    import torch

    torch.set_num_threads(count)


def samples(name: str, data: Path | None, form: str | None, grey: bool) -> Samples:
    """Of the data, as the options describe it; of our own networks the shipped ones, without any.

    Raises:
        InputError: none, or what cannot be read.
    """
    from algos import zoo
    from algos.data import preprocess
    from algos.data import samples as files
    from algos.training import normalize

    if data is None and own(name):
        shipped = zoo.load_images()[0]
        pixels = normalize(shipped.pixels)
        return files.Samples(Path(name), range(len(pixels)), lambda place: pixels[place], shipped.labels)
    if data is None:
        raise InputError(
            "--data", "nothing", "activations need samples of what the network takes", f"give {files.KINDS}"
        )
    if own(name):
        form, grey = form or "unit", True
    return files.load(data, None if form is None else preprocess.parse(form), grey=grey)


def require_fits(module: nn.Module, samples: Samples) -> None:
    """Raises InputError where the module does not take them."""
    from algos import sources

    first = samples[0]
    sources.output(module, first[0] if isinstance(first, tuple) else first)


def training(
    module: nn.Module, samples: Samples, method: str, given: Mapping[str, Any], say: Say
) -> dict[str, Any]:
    """The argument of `compress` that leaves a training out where there are no labels, and says so.

    Raises:
        InputError: labels that are missing though epochs are asked for, or do not fit; samples that do not.
    """
    from algos import sources
    from algos.methods import registry

    chosen = registry.named(method)
    first = samples[0]
    if samples.labels is not None:
        found = sources.output(module, first[0])
        recipe = chosen.recipe and chosen.recipe(chosen.configured(None, given), len(samples))
        if recipe and recipe.epochs:
            sources.require_classes(found, samples.labels)
        return {}
    sources.output(module, first)
    if given.get("epochs"):
        fix = "give a folder a class, an .npz with labels, or --epochs 0"
        raise InputError("--epochs", given["epochs"], f"{samples.source} has no labels to train on", fix)
    if chosen.recipe is None:  # it fits the float network's outputs, without labels
        return {}
    say(f"{samples.source} has no labels: nothing is trained, codebooks stay as they were found")
    return {"train": lambda _: None}


def quantizing(
    name: str, method: str, observer: str, symmetric: bool, bias_correction: bool, allow: Sequence[str]
) -> dict[str, Any]:
    """Arguments of `algos.frontend.export.quantize`."""
    from algos.frontend.calibrate import Scheme

    return {
        "name": f"{title(name)}-{method}",
        "scheme": Scheme(observer, symmetric),
        "bias_correction": bias_correction,
        "allow": allow,
    }
