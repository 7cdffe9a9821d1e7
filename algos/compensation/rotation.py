"""Hadamard rotations of a decoder that fuse into its weights: fewer outliers, the same outputs, no work at inference.

The stream beside the layers turns by one orthogonal matrix Q, since a root-mean-square norm without gains commutes
with it, and the values of each head by another (QuaRot, arXiv 2404.00456; SpinQuant's R1 and R2, arXiv 2405.16406).
What lies between gate and down projection cannot turn so: an elementwise product stands before it. Nor can keys and
queries behind their positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from sim.errors import InputError, nearest

Part = Literal["stream", "values"]
PARTS: tuple[Part, ...] = get_args(Part)

ONLINE = {
    "hidden": "an elementwise product stands between the up and the down projection",
    "queries": "rotary positions stand between the projections of queries and keys and their product",
}
"""Parts that would turn at inference, and why they do not fuse."""


@torch.no_grad()
def rotate(module: nn.Module, parts: Sequence[str] = PARTS, seed: int = 0) -> None:
    """Turns a decoder of the Llama family in place; its outputs stay as they are, but for rounding.

    Gains of the norms go into the layers behind them, and a head that shares its weight with the embedding gets one
    of its own.

    Args:
        module: `algos.models.llama.Llama`, or LlamaForCausalLM and its relatives of transformers.
        parts: some of `PARTS`.
        seed: of the random signs of Q.

    Raises:
        InputError: a part that cannot be fused, a module that is no such decoder, or a width of which no Hadamard
            matrix is known here.
    """
    for part in parts:
        if part in ONLINE:
            fix = f"use {' and '.join(PARTS)}, which cost nothing"
            raise InputError("rotation", part, f"does not fuse into weights: {ONLINE[part]}", fix)
        if part not in PARTS:
            raise InputError("rotation", part, "unknown", nearest(part, PARTS))
    decoder, head = _decoder(module)
    _fuse_gains(decoder, head)
    if "stream" in parts:
        weight = decoder.embed_tokens.weight
        turn = rotation(weight.shape[1], seed).to(weight.device)
        _turn_inputs([decoder.embed_tokens, head], turn)
        for layer in decoder.layers:
            _turn_inputs([*_attention_inputs(layer), *_perceptron_inputs(layer)], turn)
            _turn_outputs([layer.self_attn.o_proj, layer.mlp.down_proj], turn)
    if "values" in parts:
        for layer in decoder.layers:
            own = layer.self_attn
            turn = rotation(int(own.head_dim), seed + 1).to(own.v_proj.weight.device)
            _turn_outputs([own.v_proj], turn)
            _turn_inputs([own.o_proj], turn)


def hadamard(size: int) -> Tensor:
    """Entries of 1 and -1 whose rows are orthogonal, float64 [size, size].

    Sylvester's doubling from 1, or from a matrix of Paley's: q + 1 of a prime q that leaves 3 by 4, and 2 (q + 1) of
    one that leaves 1 (Paley 1933).

    Raises:
        InputError: neither gives this size.
    """
    half, doublings = size, 0
    while half > 0:
        if (core := _paley(half)) is not None:
            two = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
            for _ in range(doublings):
                core = torch.kron(two, core)
            return core
        if half % 2:
            break
        half, doublings = half // 2, doublings + 1
    raise InputError(
        "rotation", size, "no Hadamard matrix of this width is known here", "leave the rotation out"
    )


def rotation(size: int, seed: int) -> Tensor:
    """An orthogonal matrix: a Hadamard matrix over the root of its size, rows of random sign, float64."""
    random = torch.Generator().manual_seed(seed)
    signs = 2.0 * torch.randint(2, (size,), generator=random) - 1
    return signs[:, None] * hadamard(size) / size**0.5


def _paley(size: int) -> Tensor | None:
    """A matrix of this size that is not a doubling."""
    if size == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    if _is_prime(size - 1) and (size - 1) % 4 == 3:
        q = size - 1
        skew = torch.zeros(size, size, dtype=torch.float64)
        skew[0, 1:], skew[1:, 0], skew[1:, 1:] = 1, -1, _residues(q)
        return skew + torch.eye(size, dtype=torch.float64)
    q = size // 2 - 1
    if size % 2 == 0 and q > 1 and _is_prime(q) and q % 4 == 1:
        symmetric = torch.zeros(q + 1, q + 1, dtype=torch.float64)
        symmetric[0, 1:], symmetric[1:, 0], symmetric[1:, 1:] = 1, 1, _residues(q)
        ones = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
        corner = torch.tensor([[1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
        return torch.kron(symmetric, ones) + torch.kron(torch.eye(q + 1, dtype=torch.float64), corner)
    return None


def _is_prime(q: int) -> bool:
    return q > 1 and all(q % n for n in range(2, int(q**0.5) + 1))


def _residues(q: int) -> Tensor:
    """Jacobsthal's matrix: whether i - j is a square modulo q."""
    squares = {n * n % q for n in range(1, q)}
    row = torch.tensor([0.0] + [1.0 if n in squares else -1.0 for n in range(1, q)], dtype=torch.float64)
    places = (torch.arange(q)[:, None] - torch.arange(q)) % q
    return row[places]


def _decoder(module: nn.Module) -> tuple[Any, nn.Linear]:
    """The decoder inside and its head.

    Raises:
        InputError: it is built otherwise.
    """
    decoder: Any = getattr(module, "model", None)
    head = getattr(module, "lm_head", None)
    try:
        layers = list(decoder.layers)
        norms = [decoder.norm, *(norm for layer in layers for norm in _norms(layer))]
        parts = [part for layer in layers for part in (*_attention_inputs(layer), *_perceptron_inputs(layer))]
        parts += [part for layer in layers for part in (layer.self_attn.o_proj, layer.mlp.down_proj)]
    except AttributeError as error:
        raise _unlike(module, str(error)) from None
    for norm in norms:
        if not type(norm).__name__.endswith("RMSNorm") or getattr(norm, "bias", None) is not None:
            raise _unlike(module, f"{type(norm).__name__} does not commute with a rotation")
    for layer in layers:
        if hasattr(layer.self_attn, "q_norm") or hasattr(layer, "pre_feedforward_layernorm"):
            raise _unlike(module, "it has norms elsewhere")
    if not isinstance(head, nn.Linear) or not all(isinstance(part, nn.Linear) for part in parts):
        raise _unlike(module, "some projection is no nn.Linear")
    if head.weight is decoder.embed_tokens.weight:
        head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=head.weight.requires_grad)
        if getattr(config := getattr(module, "config", None), "tie_word_embeddings", False):
            config.tie_word_embeddings = False  # type: ignore[union-attr]
    return decoder, head


def _unlike(module: nn.Module, why: str) -> InputError:
    problem = f"is no decoder of the Llama family: {why}"
    return InputError("module", type(module).__name__, problem, "leave the rotation out")


def _norms(layer: Any) -> Iterator[nn.Module]:
    yield layer.input_layernorm
    yield layer.post_attention_layernorm


def _attention_inputs(layer: Any) -> tuple[nn.Linear, ...]:
    return layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj


def _perceptron_inputs(layer: Any) -> tuple[nn.Linear, ...]:
    return layer.mlp.gate_proj, layer.mlp.up_proj


def _fuse_gains(decoder: Any, head: nn.Linear) -> None:
    """Gains of every norm into the columns of the layers that read it."""
    pairs = [(decoder.norm, (head,))]
    for layer in decoder.layers:
        pairs.append((layer.input_layernorm, _attention_inputs(layer)))
        pairs.append((layer.post_attention_layernorm, _perceptron_inputs(layer)))
    for norm, readers in pairs:
        for reader in readers:
            reader.weight.mul_(norm.weight)
        norm.weight.fill_(1.0)


def _turn_inputs(layers: Sequence[Any], turn: Tensor) -> None:
    """W <- W Q in blocks of Q's size."""
    for layer in layers:
        weight = layer.weight.detach().double().unflatten(1, (-1, len(turn)))
        layer.weight.copy_((weight @ turn).flatten(1))


def _turn_outputs(layers: Sequence[nn.Linear], turn: Tensor) -> None:
    """W <- Q^T W, and the bias likewise, in blocks of Q's size."""
    for layer in layers:
        for values in (layer.weight, layer.bias):
            if values is not None:
                rows = values.detach().double().reshape(-1, len(turn), values[0].numel())
                values.copy_((turn.T @ rows).reshape(values.shape))
