"""Time information precalculated: what depends on the time step alone becomes a table, its layers go.

Inspired by "time information precalculation" (arXiv 2412.06661), whose equations are not public.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from algos.diffusion.clock import Clock
from sim.errors import InputError, nearest


@dataclass(frozen=True)
class TimePath:
    """Where a network works on its time step.

    Attributes:
        heads: modules whose outputs depend on time step and class alone, which tables replace.
        inner: modules that only lead to the heads.
        labels: classes, 1 where there are none.
        kept: modules on the way from the time step to the picture that stay, and what else they depend on.
    """

    heads: tuple[str, ...]
    inner: tuple[str, ...]
    labels: int
    kept: tuple[str, ...] = ()

    def layers(self, model: nn.Module) -> list[str]:
        """Convolutions and linear layers that the tables make superfluous."""
        parts = (*self.heads, *self.inner)
        return [
            name
            for name, part in model.named_modules()
            if isinstance(part, nn.Linear | nn.Conv2d)
            and any(f"{name}.".startswith(f"{one}.") for one in parts)
        ]


def time_path(model: nn.Module) -> TimePath:
    """Of a U-Net or DiT of diffusers.

    Raises:
        InputError: another network, or one whose classes are no numbers.
    """
    kind = type(model).__name__
    if kind not in _PATHS:
        raise InputError("model", kind, "has no known time path", nearest(kind, _PATHS))
    return _PATHS[kind](model)


def _unet(model: Any) -> TimePath:
    config = model.config
    if (kind := config.get("class_embed_type")) is not None:
        raise InputError("class_embed_type", kind, "makes infinitely many conditions", "use class numbers")
    projections = tuple(name for name, _ in model.named_modules() if name.endswith("time_emb_proj"))
    if (added := config.get("addition_embed_type")) is not None:
        kept = ("add_embedding", *projections)
        return TimePath(
            ("time_embedding",), (), 1, tuple(f"{name} (addition_embed_type={added})" for name in kept)
        )
    classes = config.get("num_class_embeds")
    inner = ("time_embedding", "class_embedding") if classes else ("time_embedding",)
    return TimePath(projections, inner, classes or 1)


def _dit(model: Any) -> TimePath:
    blocks = [f"transformer_blocks.{number}.norm1" for number in range(len(model.transformer_blocks))]
    table = model.transformer_blocks[0].norm1.emb.class_embedder.embedding_table
    heads = (*(f"{block}.linear" for block in blocks), "proj_out_1")
    return TimePath(heads, tuple(f"{block}.emb" for block in blocks), table.num_embeddings)


_PATHS: dict[str, Callable[[Any], TimePath]] = {
    "UNet2DModel": _unet,
    "UNet2DConditionModel": _unet,
    "DiTTransformer2DModel": _dit,
}


class TimeTable(nn.Module):
    """In the place of a head: rows float [T, L, C] by time step and class; its input is not read."""

    rows: Tensor

    def __init__(self, rows: Tensor, clock: Clock) -> None:
        super().__init__()
        self.register_buffer("rows", rows)
        self.clock = clock

    def forward(self, *_: Any, **__: Any) -> Tensor:
        labels = self.clock.label if self.rows.shape[1] > 1 else torch.zeros_like(self.clock.label)
        return self.rows[self.clock.step, labels]


class Nothing(nn.Module):
    """In the place of what only led to tables: zeros [n, 1]."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.zeros(len(x), 1, device=x.device)


@dataclass(frozen=True)
class Tabulated:
    """What became of a time path.

    Attributes:
        values: in all tables.
        removed: parameters of the layers that are gone.
        macs: multiply-accumulates of one evaluation that are gone.
        kept: `TimePath.kept`.
    """

    values: int
    removed: int
    macs: int
    kept: tuple[str, ...]


@torch.no_grad()
def tabulate(
    model: nn.Module, clock: Clock, call: Callable[..., Any], *, batch: int = 64, strict: bool = False
) -> Tabulated:
    """Replaces time layers by tables in place: bit for bit what they said, for every step and class.

    Rows come from the network itself, run at each time step on `batch` samples of each class: a product adds up in
    another order where its rows are few.

    Args:
        clock: of the time steps; it is attached to the model.
        call: (model, number of samples, time step, labels): runs the network once, on any values.
        batch: samples of a call.
        strict: refuse a network of which something must stay.

    Raises:
        InputError: no known time path; with `strict`, by name, what depends on text or size.
    """
    path = time_path(model)
    if path.kept and strict:
        raise InputError(
            "time tables",
            ", ".join(path.kept),
            "depends on text or size, not on the step alone",
            "leave strict out",
        )
    clock.attach(model)
    found = _outputs(model, path, clock, call, batch)
    steps, labels = len(clock), path.labels
    gone = [model.get_submodule(name) for name in path.layers(model)]
    macs = sum(one.weight.numel() for one in gone)
    removed = sum(
        p.numel() for name in (*path.heads, *path.inner) for p in model.get_submodule(name).parameters()
    )
    for name in path.heads:
        rows = torch.cat(found[name]).view(steps, labels, -1)
        model.set_submodule(name, TimeTable(rows, clock))
    for name in path.inner:
        model.set_submodule(name, Nothing())
    values = sum(steps * labels * rows[0].shape[1] for rows in found.values())
    return Tabulated(values, removed, macs, path.kept)


def _outputs(
    model: nn.Module, path: TimePath, clock: Clock, call: Callable[..., Any], batch: int
) -> dict[str, list[Tensor]]:
    """What each head says, [1, C] for every time step and class."""
    found: dict[str, list[Tensor]] = {name: [] for name in path.heads}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: found[name].append(out[:1].clone())
        )
        for name in path.heads
    ]
    for time in clock.times:
        for label in range(path.labels):
            call(model, batch, time, torch.full((batch,), label) if path.labels > 1 else None)
    for hook in hooks:
        hook.remove()
    return found


def heads(model: nn.Module) -> dict[str, TimeTable]:
    """The tables of a model, by name."""
    return {name: part for name, part in model.named_modules() if isinstance(part, TimeTable)}
