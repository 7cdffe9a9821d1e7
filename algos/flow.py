"""What a graph of the module tells: which norm takes a convolution's value, which layers come first and last."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from algos.batches import applied
from sim.errors import InputError

CONVOLUTIONS = ("aten.conv1d.", "aten.conv2d.", "aten.conv3d.")


@torch.no_grad()
def order(module: nn.Module, inputs: Any, kinds: tuple[type[nn.Module], ...]) -> list[str]:
    """Names of the modules of these kinds, as they first run."""
    found: dict[str, None] = {}
    handles = [
        part.register_forward_pre_hook(lambda _, __, name=name: found.setdefault(name))
        for name, part in module.named_modules()
        if isinstance(part, kinds)
    ]
    training = module.training
    try:
        applied(module.eval(), inputs)
    finally:
        module.train(training)
        for handle in handles:
            handle.remove()
    return list(found)


def normed(module: nn.Module, inputs: Any) -> list[tuple[nn.Module, nn.Module]]:
    """Convolutions and the batch norms that alone take their values, by data flow.

    Raises:
        InputError: `torch.export` cannot follow the module.
    """
    named = isinstance(inputs, dict)
    positional = () if named else inputs if isinstance(inputs, tuple) else (inputs,)
    training = module.training
    try:
        program = torch.export.export(module.eval(), positional, inputs if named else None, strict=False)
    except Exception as error:  # of many types
        said = str(error).strip().splitlines()[:1]
        raise InputError(
            "module",
            type(module).__name__,
            f"torch.export cannot follow it: {' '.join(said)}",
            "prepare it without batches: registration then tells first and last, and norms stay as they are",
        ) from error
    finally:
        module.train(training)
    owner = program.graph_signature.inputs_to_parameters

    def part(node: Any) -> nn.Module | None:
        """Whose `weight` a node reads."""
        weight = node.args[1]
        name = owner.get(weight.name, "") if isinstance(weight, torch.fx.Node) else ""
        return module.get_submodule(name.removesuffix(".weight")) if name.endswith(".weight") else None

    found = []
    for node in program.graph.nodes:
        if node.op != "call_function" or not str(node.target).startswith("aten.batch_norm"):
            continue
        before = node.args[0]
        if str(before.target).startswith(CONVOLUTIONS) and len(before.users) == 1:
            pair = part(before), part(node)
            if isinstance(pair[0], nn.Module) and isinstance(pair[1], nn.Module):
                found.append((pair[0], pair[1]))
    return found
