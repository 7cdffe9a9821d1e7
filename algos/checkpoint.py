"""Trained ResNets as safetensors files, dense or with codebooks.

A dense file is the model's `state_dict`. Where a convolution takes its weight from a codebook, the
tensors `codebook` (float32 [k, d]), `log_scale`, `assignments` (uint8, uint16 beyond 256 codewords)
and `masks` (bool [n, d], only with N:M masks) stand in place of its `weight`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from algos.codebook import CodebookWeightParametrization, attach, attached
from algos.models.resnet import ResNet
from sim.errors import InputError


def save(model: ResNet, path: str | Path) -> None:
    """Writes a model; depth and width follow from the tensors."""
    state, metadata = dict(model.state_dict()), {}
    for name, layer in model.body().items():
        weight = attached(layer)
        if weight is None:
            continue
        for key in [key for key in state if key.startswith(f"{name}.parametrizations.")]:
            del state[key]
        state[f"{name}.codebook"] = weight.codebook.detach()
        state[f"{name}.log_scale"] = weight.log_scale.detach()
        narrow = torch.uint8 if len(weight.codebook) <= 256 else torch.uint16
        state[f"{name}.assignments"] = weight.assignments.to(narrow)
        if weight.pattern != (0, 0):
            state[f"{name}.masks"] = weight.masks.bool()
            metadata["pattern"] = "{}:{}".format(*weight.pattern)
    save_file({key: value.contiguous() for key, value in state.items()}, path, metadata)


def load(path: str | Path) -> ResNet:
    """Reads what `save` wrote, or any float `state_dict` of a `ResNet` in a safetensors file.

    Raises:
        InputError: the file is missing, unreadable, or holds another network.
    """
    if not Path(path).is_file():
        raise InputError("model", str(path), "no such file", "give a .safetensors checkpoint")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dict
    except SafetensorError as error:
        raise InputError("model", str(path), f"not a safetensors file ({error})",
                         "save the state_dict with safetensors") from None
    return _restore(state, metadata.get("pattern", "0:0"), str(path))


def _restore(state: dict[str, Tensor], pattern: str, path: str) -> ResNet:
    numbers = [int(key.split(".")[1]) for key in state if key.startswith("blocks.")]
    if not numbers or "conv.weight" not in state:
        raise InputError("model", path, "is not a ResNet of algos.models.resnet",
                         "give the state_dict of such a model")
    model = ResNet(2 * max(numbers) + 4, len(state["conv.weight"]))
    kept, group = map(int, pattern.split(":"))
    for name, layer in model.body().items():
        if f"{name}.codebook" not in state:
            continue
        codebook, log_scale, assignments, masks = (
            state.pop(f"{name}.{part}", None)
            for part in ("codebook", "log_scale", "assignments", "masks"))
        assert codebook is not None
        assert log_scale is not None
        assert assignments is not None
        n_of_m = (0, 0) if masks is None else (kept, group)
        masks = torch.ones(len(assignments), codebook.shape[1]) if masks is None else masks
        weight = CodebookWeightParametrization(codebook, assignments.long(), masks,
                                               layer.weight.shape, n_of_m)
        weight.log_scale.data.copy_(log_scale)
        attach(layer, weight)
        state |= {key: value for key, value in model.state_dict().items()
                  if key.startswith(f"{name}.parametrizations.")}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError("model", path, f"does not fit {error}",
                         "give the state_dict of a ResNet of algos.models.resnet") from None
    return model.eval()
