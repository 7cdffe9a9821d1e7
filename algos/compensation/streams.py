"""What the blocks of a module read in two streams: of the float module, and of the one that is rounded so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor, nn

from algos.batches import applied
from algos.methods.blocks import first_tensor

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""What a module was called with."""


class Reads(NamedTuple):
    """A block of the float module on all batches.

    Attributes:
        inputs: of each layer, a tensor a batch, in the order in which the layers run.
        outputs: of the block, one a batch.
    """

    inputs: dict[str, list[Tensor]]
    outputs: list[Any]

    def sharing(self, layers: Mapping[str, nn.Module]) -> list[list[str]]:
        """Layers that read one tensor together, in the order in which they run; convolutions alone, since each has a
        window of its own.
        """
        groups: list[list[str]] = []
        for name, tensors in self.inputs.items():
            for group in groups:
                linear = all(isinstance(layers[one], nn.Linear) for one in (group[0], name))
                if linear and self.inputs[group[0]][0] is tensors[0]:
                    group.append(name)
                    break
            else:
                groups.append([name])
        return groups


@dataclass
class Streams:
    """Both modules, block by block in the order in which they run.

    Where a block feeds the next alone, its outputs are the next one's inputs; then each block of the float module runs
    once, and nothing of it is computed again however many sets of layers the rounded one has.

    Attributes:
        plain, rounded: the modules.
        batches: what they take.
        blocks: names of all that are entered, in order.
    """

    plain: nn.Module
    rounded: nn.Module
    batches: Sequence[Any]
    blocks: Sequence[str]
    _last: str | None = None
    _calls: dict[str, list[Call]] = field(default_factory=dict)
    _outputs: list[Any] = field(default_factory=list)

    @cached_property
    def _fed(self) -> set[str]:
        """Blocks that are called with the output of the one before and else with the same things."""
        seen: dict[str, tuple[tuple[Any, ...], dict[str, Any], Any]] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
                seen[name] = (args, kwargs, output)

            return hook

        handles = [
            self.plain.get_submodule(name).register_forward_hook(keep(name), with_kwargs=True)
            for name in self.blocks
        ]
        try:
            applied(self.plain, self.batches[0])
        finally:
            for handle in handles:
                handle.remove()
        return {block for before, block in pairwise(self.blocks) if _feeds(seen[before], seen[block])}

    def enter(self, block: str, layers: Iterable[str]) -> Reads:
        """Goes on to a block; what its layers read in the float stream."""
        if block in self._fed:
            assert self._last is not None
            part = self.rounded.get_submodule(self._last)
            made = [part(*args, **kwargs) for args, kwargs in self._calls["rounded"]]
            outputs = {"plain": self._outputs, "rounded": made}
            self._calls = {
                name: [
                    ((first_tensor(output), *args[1:]), kwargs)
                    for (args, kwargs), output in zip(calls, outputs[name], strict=True)
                ]
                for name, calls in self._calls.items()
            }
        else:
            self._calls = {
                name: _recorded(module, block, self.batches)
                for name, module in (("plain", self.plain), ("rounded", self.rounded))
            }
        self._last = block
        found = _read(self.plain.get_submodule(block), block, layers, self._calls["plain"])
        self._outputs = found.outputs
        return found

    def inputs(self, layer: str) -> Iterable[Tensor]:
        """What a layer of the present block reads in the rounded stream, batch by batch; the block runs no further."""
        assert self._last is not None
        block, found = self.rounded.get_submodule(self._last), list[Tensor]()

        def stop(_: nn.Module, args: tuple[Any, ...]) -> None:
            found.append(args[0])
            raise _Reached

        for args, kwargs in self._calls["rounded"]:
            handle = _inside(block, layer, self._last).register_forward_pre_hook(stop)
            try:
                with suppress(_Reached):
                    block(*args, **kwargs)
            finally:
                handle.remove()
            yield found.pop()


class _Reached(Exception):
    """The layer in question has been called."""


def _read(block: nn.Module, prefix: str, layers: Iterable[str], calls: Iterable[Call]) -> Reads:
    inputs: dict[str, list[Tensor]] = {}
    handles = [
        _inside(block, name, prefix).register_forward_pre_hook(
            lambda _, args, name=name: inputs.setdefault(name, []).append(args[0])
        )
        for name in layers
    ]
    try:
        outputs = [block(*args, **kwargs) for args, kwargs in calls]
    finally:
        for handle in handles:
            handle.remove()
    return Reads(inputs, outputs)


def _feeds(before: tuple[Any, ...], block: tuple[Any, ...]) -> bool:
    (args, kwargs, output), (next_args, next_kwargs, _) = before, block
    if not args or not next_args or next_args[0] is not first_tensor(output):
        return False
    return _same(args[1:], next_args[1:]) and _same(kwargs, next_kwargs)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return one is other
    return one is other or (not isinstance(one, nn.Module) and bool(one == other))


def _recorded(module: nn.Module, block: str, batches: Iterable[Any]) -> list[Call]:
    """What a block is called with; the module runs no further."""
    found: list[Call] = []

    def keep(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append((args, kwargs))
        raise _Reached

    # First of all, since a block that is a layer itself may round its inputs, and does so again when it is called.
    handle = module.get_submodule(block).register_forward_pre_hook(keep, prepend=True, with_kwargs=True)
    try:
        for batch in batches:
            with suppress(_Reached):
                applied(module, batch)
    finally:
        handle.remove()
    return found


def _inside(block: nn.Module, name: str, prefix: str) -> nn.Module:
    return block if name == prefix else block.get_submodule(name.removeprefix(f"{prefix}."))
