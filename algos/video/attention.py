"""Attention of diffusers' video models, opened: probabilities that are seen or exchanged, columns that are read alone.

One reading of queries, keys and values serves the three classes: `Attention` of U-Nets and of CogVideoX (which joins
text and video tokens) and `WanAttention`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

Kind = Literal["self", "cross", "temporal", "joint"]
"""Places look at each other within a frame or clip; at the text; a place at itself in other frames; text and video
at both."""

CHUNK = 1024
"""Queries whose scores exist at one time while columns are read."""


@dataclass(frozen=True)
class Site:
    """An attention layer, by the name of its module."""

    name: str
    kind: Kind


class Visitor(Protocol):
    """Sees every attention of a forward pass; gives back what shall stand in its place."""

    def projections(self, site: Site, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """[sequences, heads, tokens, channels] each."""

    def probabilities(self, site: Site, found: Tensor) -> Tensor:
        """[sequences, heads, queries, keys]."""


def sites(backbone: nn.Module) -> dict[str, Site]:
    """The attention layers by name, in the order in which they are applied."""
    return {
        name: Site(name, _kind(name, module)) for name, module in backbone.named_modules() if _attends(module)
    }


def _attends(module: nn.Module) -> bool:
    return hasattr(module, "to_q") and hasattr(module, "processor")


def _kind(name: str, module: nn.Module) -> Kind:
    if "temp_attentions" in name or name.startswith("transformer_in"):
        return "temporal"
    if "CogVideoX" in type(module.processor).__name__:
        return "joint"
    return "cross" if name.endswith("attn2") else "self"


def projected(
    attention: Any, hidden: Tensor, context: Tensor | None, rotary: Any, joint: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, [sequences, heads, tokens, channels] each."""
    if joint:
        assert context is not None
        hidden, text, context = torch.cat([context, hidden], 1), context.shape[1], None
    else:
        text = 0
    source = hidden if context is None else context
    queries, keys, values = attention.to_q(hidden), attention.to_k(source), attention.to_v(source)
    wide = type(attention).__name__ == "WanAttention"  # norms over all heads at once
    if wide:
        queries, keys = attention.norm_q(queries), attention.norm_k(keys)
    queries, keys, values = (
        each.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for each in (queries, keys, values)
    )
    if not wide and getattr(attention, "norm_q", None) is not None:
        queries, keys = attention.norm_q(queries), attention.norm_k(keys)
    if rotary is not None:
        turn = _turned_in_pairs if wide else _turned_behind(text)
        queries, keys = turn(queries, rotary), turn(keys, rotary)
    return queries, keys, values


def _turned_in_pairs(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Wan's rotary embedding; cosine and sine are [1, tokens, 1, channels], each value twice."""
    cosine, sine = (each.transpose(1, 2)[..., ::2] for each in rotary)
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], -1).flatten(-2).type_as(x)


def _turned_behind(text: int) -> Callable[[Tensor, Any], Tensor]:
    """CogVideoX's rotary embedding, of the video tokens alone."""
    from diffusers.models.embeddings import apply_rotary_emb

    def turned(x: Tensor, rotary: Any) -> Tensor:
        return torch.cat([x[:, :, :text], apply_rotary_emb(x[:, :, text:], rotary)], 2)

    return turned


def scores(queries: Tensor, keys: Tensor) -> Tensor:
    """Before the softmax, [sequences, heads, queries, keys]."""
    return queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5


class _Opened:
    """A processor that shows its probabilities to a visitor and mixes the values by what it gives back.

    Diffusers reads the names of the arguments and leaves out those that a processor has not.
    """

    def __init__(self, site: Site, visitor: Visitor) -> None:
        self.site, self.visitor = site, visitor

    def __call__(
        self,
        attention: Any,
        hidden: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: Any = None,
        image_rotary_emb: Any = None,
    ) -> Any:
        context, joint = encoder_hidden_states, self.site.kind == "joint"
        rotary = image_rotary_emb if joint else rotary_emb
        queries, keys, values = projected(attention, hidden, context, rotary, joint)
        queries, keys = self.visitor.projections(self.site, queries, keys)
        found = self.visitor.probabilities(self.site, scores(queries, keys).softmax(-1))
        mixed = attention.to_out[0]((found @ values).transpose(1, 2).flatten(2))
        mixed = attention.to_out[1](mixed)
        if not joint:
            return mixed
        assert context is not None
        return mixed[:, context.shape[1] :], mixed[:, : context.shape[1]]


Read = Callable[[Site, Tensor, Tensor], None]
"""Takes queries and keys, [sequences, heads, tokens, channels] each."""


class _Tapped:
    """The processor that was there before, whose queries and keys are shown."""

    def __init__(self, site: Site, before: Any, read: Read) -> None:
        self.site, self.before, self.read = site, before, read

    def __call__(
        self,
        attention: Any,
        hidden: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: Any = None,
        image_rotary_emb: Any = None,
    ) -> Any:
        turned = rotary_emb, image_rotary_emb
        joint = self.site.kind == "joint"
        queries, keys, _ = projected(attention, hidden, encoder_hidden_states, turned[joint], joint)
        self.read(self.site, queries, keys)
        rotary = [each for each in turned if each is not None]
        return self.before(attention, hidden, encoder_hidden_states, attention_mask, *rotary)


@contextmanager
def opened(backbone: nn.Module, visitor: Visitor) -> Iterator[None]:
    """All attention goes through the visitor; afterwards it is as it was."""
    with _replaced(backbone, lambda site, _: _Opened(site, visitor)):
        yield


@contextmanager
def tapped(backbone: nn.Module, read: Read) -> Iterator[None]:
    """The attention over text is computed as before, and its queries and keys are read."""

    def processor(site: Site, before: Any) -> Any:
        return _Tapped(site, before, read) if site.kind in ("cross", "joint") else before

    with _replaced(backbone, processor):
        yield


@contextmanager
def _replaced(backbone: nn.Module, processor: Callable[[Site, Any], Any]) -> Iterator[None]:
    modules: dict[str, Any] = dict(backbone.named_modules())
    before = {name: modules[name].processor for name in sites(backbone)}
    try:
        for name, site in sites(backbone).items():
            modules[name].processor = processor(site, before[name])
        yield
    finally:
        for name, kept in before.items():
            modules[name].processor = kept


def columns(queries: Tensor, keys: Tensor, words: list[int], text: int) -> Tensor:
    """How much each video token looks at some words, mean over heads: [sequences, video tokens].

    Only `CHUNK` rows of the map exist at one time; nothing of it is kept but the words' columns.

    Args:
        text: text tokens that stand before the video tokens among the queries.
    """
    found = []
    for part in queries[:, :, text:].split(CHUNK, 2):
        all_scores = scores(part, keys)
        found.append((all_scores[..., words] - all_scores.logsumexp(-1, keepdim=True)).exp().sum(-1).mean(1))
    return torch.cat(found, 1)
