"""Trained ResNets as safetensors files, dense or with codebooks.

A dense file is the model's `state_dict`. Where a convolution takes its weight from a codebook, the
tensors `codebook` (float32 [k, d]), `log_scale`, `assignments` (uint8, uint16 beyond 256 codewords)
and `masks` (bool [n, d], only with N:M masks) or `signs` (bool [n, d], True = negative, only of SSVQ)
stand in place of its `weight`. `codebook` and `log_scale` without the name of a layer belong to all layers
that have none of their own. Signs come back as they are and fixed: the latents of SSVQ live in the
checkpoints of training alone.

Of VQ4ALL the `codebook` is int8 and each layer has `log_scales` (float32 [K], one an output channel); the
universal codebook is the one without the name of a layer.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from algos.models.resnet import ResNet
from algos.weights.codebook import LOW, Codebook, CodedWeight, MaskedWeight, attach, in_integers, tie
from algos.weights.signs import SignedWeight
from algos.weights.universal import FrozenCodebook, UniversalWeight
from sim.errors import InputError


def save(model: ResNet, path: str | Path) -> None:
    """Writes a model; depth and width follow from the tensors.

    Raises:
        InputError: VQ4ALL's construction is not finished, or a weight has no codebook.
    """
    state = {key: value for key, value in model.state_dict().items() if ".parametrizations." not in key}
    metadata: dict[str, str] = {}
    coded = {name: part for name, layer in model.body().items() if (part := _coded(name, layer)) is not None}
    books = [part.codebook for part in coded.values()]
    for name, part in coded.items():
        narrow = torch.uint8 if len(part.codebook.codewords) <= 256 else torch.uint16
        state[f"{name}.assignments"] = part.assignments.to(narrow)
        if isinstance(part, UniversalWeight):
            part.require_confirmed()
            state[f"{name}.log_scales"] = part.log_scales.detach()
            state["codebook" if part.codebook.universal else f"{name}.codebook"] = part.codebook.integers
            continue
        owner = f"{name}." if books.count(part.codebook) == 1 else ""
        state[f"{owner}codebook"] = part.codebook.codewords.detach()
        state[f"{owner}log_scale"] = part.codebook.log_scale.detach()
        if isinstance(part, SignedWeight):
            state[f"{name}.signs"] = part.signs().detach() < 0
        elif isinstance(part, MaskedWeight) and part.pattern != (0, 0):
            state[f"{name}.masks"] = part.masks.bool()
            metadata["pattern"] = "{}:{}".format(*part.pattern)
    save_file({key: value.contiguous() for key, value in state.items()}, path, metadata)


def _coded(name: str, layer: nn.Module) -> CodedWeight | None:
    part = in_integers(layer)
    if part is None or isinstance(part, CodedWeight):
        return part
    problem = "is of levels or sums, and a checkpoint holds codewords"
    raise InputError(f"{name}.weight", type(part).__name__, problem, "save the network of integers")


def load(path: str | Path) -> ResNet:
    """Reads what `save` wrote, or any float `state_dict` of a `ResNet` in a safetensors file.

    Raises:
        InputError: the file is missing, unreadable, or holds another network.
    """
    if not Path(path).is_file():
        raise InputError(
            "model",
            str(path),
            "no such file",
            "give a .safetensors checkpoint or the name of a shipped network",
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dict
    except SafetensorError as error:
        raise InputError(
            "model", str(path), f"not a safetensors file ({error})", "save the state_dict with safetensors"
        ) from None
    try:
        return _restore(state, metadata.get("pattern", "0:0"), str(path))
    except InputError:
        raise
    except (
        ValueError,
        TypeError,
        LookupError,
        RuntimeError,
    ) as error:  # tensors of other names, types, shapes
        raise InputError(
            "model",
            str(path),
            f"does not fit: {error}",
            "give the state_dict of a ResNet of algos.models.resnet",
        ) from None


def _restore(state: dict[str, Tensor], pattern: str, path: str) -> ResNet:
    numbers = [int(key.split(".")[1]) for key in state if key.startswith("blocks.")]
    if not numbers or "conv.weight" not in state:
        raise InputError(
            "model", path, "is not a ResNet of algos.models.resnet", "give the state_dict of such a model"
        )
    model = ResNet(2 * max(numbers) + 4, len(state["conv.weight"]))
    together = _codebook(state, "")
    coded: list[CodedWeight] = []
    for name, layer in model.body().items():
        if f"{name}.assignments" not in state:
            continue
        codebook = _codebook(state, f"{name}.") or together
        if codebook is None:
            raise InputError("model", path, f"{name} has assignments and no codebook", "save the model again")
        coded.append(_weight(state, name, codebook, layer.weight.shape, pattern))
        attach(layer, coded[-1])
    state |= {key: value for key, value in model.state_dict().items() if ".parametrizations." in key}
    if isinstance(together, Codebook):
        tie([part for part in coded if isinstance(part, MaskedWeight) and part.codebook is together])
    model.load_state_dict(state)
    return model.eval()


def _codebook(state: dict[str, Tensor], owner: str) -> Codebook | FrozenCodebook | None:
    """Takes a codebook out of the tensors, None where its owner has none."""
    if f"{owner}codebook" not in state:
        return None
    codewords = state.pop(f"{owner}codebook")
    if codewords.dtype == torch.int8:
        return FrozenCodebook(codewords, universal=not owner)
    signed = any(key.endswith("signs") for key in state)
    codebook = Codebook(codewords, 0 if signed else LOW)
    codebook.log_scale.data.copy_(state.pop(f"{owner}log_scale"))
    return codebook


def _weight(
    state: dict[str, Tensor], name: str, codebook: Codebook | FrozenCodebook, shape: torch.Size, pattern: str
) -> CodedWeight:
    """Takes a layer's assignments, and its scales, signs or masks, out of the tensors."""
    assignments = state.pop(f"{name}.assignments").long()
    if isinstance(codebook, FrozenCodebook):
        return UniversalWeight.restored(codebook, assignments, state.pop(f"{name}.log_scales"), shape)
    if (negative := state.pop(f"{name}.signs", None)) is not None:
        signed = SignedWeight(codebook, assignments, torch.where(negative, -1.0, 1.0), shape)
        signed.latent.requires_grad_(False)
        return signed
    masks = state.pop(f"{name}.masks", None)
    kept, group = map(int, pattern.split(":"))
    if masks is None:
        masks, kept, group = torch.ones(len(assignments), codebook.codewords.shape[1]), 0, 0
    return MaskedWeight(codebook, assignments, masks, shape, (kept, group))
