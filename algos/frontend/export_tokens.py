"""Trained Vim and DeiT become a `sim.network.Network`: maps (channels, tokens, 1), static INT8 scales.

Weights quantized along the outputs stay codebooks, the others become dense INT8.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.data.fashion_mnist import Images
from algos.frontend.lowering import PIXELS, SIGNED, Lowering, require_calibration, require_finite
from algos.frontend.quantize import Activation, calibrate, int8_weight, requantization
from algos.models import deit, vim
from algos.models.patches import TOKENS, Patches
from algos.models.scan import selective_scan
from algos.models.tokens import TokenNet
from algos.models.vim import RANK, STATES
from algos.training import normalize
from algos.weights.codebook import attached
from sim.errors import InputError
from sim.network import (
    Conv,
    DenseWeight,
    LayerNorm,
    MatMul,
    Multiply,
    Network,
    Requantization,
    Reshape,
    Scan,
    Softmax,
    TensorSpec,
    Weight,
    activation_table,
    exponent_table,
    norm_constants,
)

TABLE_STEP = 1 / 32
"""Of the decay table: exp(-8) = 0.0003 is its last entry."""

PROBABILITY = Activation(1 / 256, -128)

Function = Callable[[Tensor], Tensor]


def export(
    model: TokenNet, calibration: Images, *, name: str, metadata: dict[str, object] | None = None
) -> Network:
    """`algos.frontend.export.export` of a Vim or DeiT."""
    require_calibration(calibration)
    require_finite(model)
    emitter = _Emitter(normalize(calibration.pixels), PIXELS)
    with torch.no_grad():
        last = emitter.patches(model.patches)
        for number, block in enumerate(model.blocks):
            emit = _vim_block if isinstance(block, vim.Block) else _deit_block
            last = emit(emitter, f"block{number}", last, block)
        last = emitter.norm("norm", last, model.norm)
        last = emitter.pool("mean", last)
        emitter.linear("head", last, model.head, wide=True)
    return Network(
        name, TensorSpec((1, 28, 28), PIXELS.scale, PIXELS.zero_point), tuple(emitter.layers), metadata or {}
    )


def _vim_block(emit: _Emitter, name: str, source: str, block: vim.Block) -> str:
    normed = emit.norm(f"{name}.norm", source, block.norm)
    inner = block.in_proj.out_features // 2
    u = emit.linear(f"{name}.u", normed, block.in_proj, slice(0, inner))
    gate = emit.linear(f"{name}.gate", normed, block.in_proj, slice(inner, 2 * inner), function=F.silu)
    forward, backward = (
        _direction(emit, f"{name}.{label}", u, way)
        for label, way in zip(("forward", "backward"), block.ways, strict=True)
    )
    both = emit.add(f"{name}.both", forward, backward)
    gated = emit.multiply(f"{name}.gated", both, gate)
    return emit.add(f"{name}.add", emit.linear(f"{name}.out", gated, block.out_proj), source)


def _direction(emit: _Emitter, name: str, source: str, way: vim.Direction) -> str:
    x = emit.token_conv(f"{name}.conv", source, way.conv, F.silu)
    low = emit.linear(f"{name}.low", x, way.x_proj, slice(0, RANK))
    b = emit.linear(f"{name}.b", x, way.x_proj, slice(RANK, RANK + STATES))
    c = emit.linear(f"{name}.c", x, way.x_proj, slice(RANK + STATES, RANK + 2 * STATES))
    delta = emit.linear(f"{name}.delta", low, way.dt_proj, function=F.softplus)
    return emit.scan(f"{name}.scan", x, delta, b, c, way)


def _deit_block(emit: _Emitter, name: str, source: str, block: deit.Block) -> str:
    attention, dim = block.attention, block.fc1.in_features
    normed = emit.norm(f"{name}.norm1", source, block.norm1)
    q, k, v = (
        emit.linear(f"{name}.{part}", normed, attention.qkv, slice(i * dim, (i + 1) * dim))
        for i, part in enumerate("qkv")
    )
    heads = attention.heads
    logits = emit.matmul(f"{name}.logits", q, k, heads, True, math.sqrt(heads / dim))
    mixed = emit.matmul(f"{name}.mixed", emit.softmax(f"{name}.softmax", logits, heads), v, heads, False)
    middle = emit.add(f"{name}.add1", emit.linear(f"{name}.proj", mixed, attention.proj), source)
    hidden = emit.linear(
        f"{name}.fc1", emit.norm(f"{name}.norm2", middle, block.norm2), block.fc1, function=F.gelu
    )
    return emit.add(f"{name}.add2", emit.linear(f"{name}.fc2", hidden, block.fc2), middle)


def _tokens_last(x: Tensor) -> Tensor:
    """[n, C, L, 1] -> [n, L, C]."""
    return x[..., 0].transpose(1, 2)


class _Emitter(Lowering):
    """What Vim and DeiT have beside convolutions."""

    def patches(self, patches: Patches) -> str:
        """Convolution, then each token's place as the bias of one channel a token and channel."""
        project, place = patches.project, patches.place
        stem = self._conv("patches", "input", project.weight, project.bias, stride=project.stride)
        flat = self._reshape("flat", stem, (place.numel(), 1, 1))
        half = np.full((place.numel(), 1, 1, 1), 64, np.int8)
        weight = DenseWeight(half), np.full(place.numel(), 1 / 64)
        ones = torch.ones(place.numel(), 1, 1, 1)
        placed = self._conv("place", flat, ones, place.T.flatten(), groups=place.numel(), weight=weight)
        return self._reshape("tokens", placed, (place.shape[1], TOKENS, 1))

    def linear(
        self,
        name: str,
        source: str,
        layer: nn.Linear,
        outputs: slice = slice(None),
        *,
        function: Function | None = None,
        wide: bool = False,
    ) -> str:
        """Some outputs of a linear layer, as a 1x1 convolution over the tokens."""
        bias = None if layer.bias is None else layer.bias[outputs]
        return self._conv(
            name,
            source,
            layer.weight[outputs, :, None, None],
            bias,
            function=function,
            weight=self._codebook(layer, outputs),
            wide=wide,
        )

    def token_conv(self, name: str, source: str, layer: nn.Conv1d, function: Function) -> str:
        return self._conv(
            name,
            source,
            layer.weight[..., None],
            layer.bias,
            padding=(layer.padding[0], 0),
            groups=layer.groups,
            function=function,
        )

    def _codebook(self, layer: nn.Linear, outputs: slice) -> tuple[Weight, np.ndarray] | None:
        part = attached(layer)
        if part is None:
            return None
        whole, scales = part.stored(), part.scales()[outputs]
        first, last, _ = outputs.indices(whole.shape[0])
        if first % whole.d or last % whole.d:
            raise InputError("d", whole.d, f"does not divide outputs {first} to {last}", "use a smaller d")
        rows = slice(first // whole.d, last // whole.d)
        masks, signs = (None if codes is None else codes[rows] for codes in (whole.mask_codes, whole.signs))
        return replace(whole, assignments=whole.assignments[rows], mask_codes=masks, signs=signs), scales

    def _conv(
        self,
        name: str,
        source: str,
        real: Tensor,
        bias: Tensor | None,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        groups: int = 1,
        function: Function | None = None,
        weight: tuple[Weight, np.ndarray] | None = None,
        wide: bool = False,
    ) -> str:
        before = F.conv2d(self.float[source], real, bias, stride, padding, groups=groups)
        if weight is None:
            values, scales = int8_weight(real, per_channel=not wide)
            weight = DenseWeight(values), scales
        stored, scales = weight
        steps = scales * self.scale[source].scale
        offset = np.zeros(len(real)) if bias is None else bias.double().numpy() / steps
        requantized = None
        if not wide:
            requantized = self._requantization(name, before, steps, function)
        whole = self._bias(name, stored, source, offset)
        self.layers.append(Conv(name, source, stored, whole, stride, padding, requantized, groups))
        return name

    def _requantization(
        self, name: str, before: Tensor, steps: np.ndarray, function: Function | None
    ) -> Requantization:
        if function is None:
            out = self._put(name, before)
            return requantization(steps / out.scale, out)
        inner, out = calibrate(before, SIGNED), self._put(name, function(before))
        plain = requantization(steps / inner.scale, inner)
        table = activation_table(
            lambda v: float(function(torch.tensor(v, dtype=torch.float64))),
            inner.scale,
            inner.zero_point,
            out.scale,
            out.zero_point,
        )
        return Requantization(
            plain.multiplier, plain.shift, inner.zero_point, inner.low, inner.high, table, out.zero_point
        )

    def _reshape(self, name: str, source: str, to: tuple[int, int, int]) -> str:
        self.float[name] = self.float[source].reshape(-1, *to)
        self.scale[name] = self.scale[source]
        self.layers.append(Reshape(name, source, to, self.scale[source].zero_point))
        return name

    def norm(self, name: str, source: str, layer: nn.RMSNorm | nn.LayerNorm) -> str:
        out = self._put(name, layer(self.float[source].movedim(1, -1)).movedim(-1, 1))
        rms = isinstance(layer, nn.RMSNorm)
        gain = layer.weight.double().numpy()
        bias = np.zeros(len(gain)) if rms else layer.bias.double().numpy()
        assert layer.eps is not None
        constants = norm_constants(gain, bias, layer.eps, self.scale[source].scale, out.scale)
        self.layers.append(LayerNorm(name, source, *constants, rms, out.zero_point, out.low, out.high))
        return name

    def multiply(self, name: str, a: str, b: str) -> str:
        out = self._put(name, self.float[a] * self.float[b])
        m, s = self._ratio(self.scale[a].scale * self.scale[b].scale / out.scale)
        self.layers.append(Multiply(name, (a, b), m, s, out.zero_point, out.low, out.high))
        return name

    def matmul(self, name: str, a: str, b: str, heads: int, transpose_b: bool, factor: float = 1.0) -> str:
        """The product head by head, times a factor."""
        left, right = (_tokens_last(self.float[t]).unflatten(-1, (heads, -1)).transpose(1, 2) for t in (a, b))
        product = left @ (right.mT if transpose_b else right) * factor
        out = self._put(name, product.transpose(1, 2).flatten(2).mT[..., None])
        m, s = self._ratio(self.scale[a].scale * self.scale[b].scale * factor / out.scale)
        self.layers.append(MatMul(name, (a, b), heads, transpose_b, m, s, out.zero_point, out.low, out.high))
        return name

    def softmax(self, name: str, source: str, heads: int) -> str:
        self.float[name] = self.float[source].unflatten(1, (heads, -1)).softmax(2).flatten(1, 2)
        self.scale[name] = PROBABILITY
        table = exponent_table(self.scale[source].scale)
        self.layers.append(Softmax(name, source, table, heads, PROBABILITY.zero_point))
        return name

    def scan(self, name: str, x: str, delta: str, b: str, c: str, way: vim.Direction) -> str:
        """States in units of the products delta x B, which 16 tokens do not sum up to 2^31."""
        rate, reverse = way.log_rate.exp(), way.reverse
        operands = [_tokens_last(self.float[t]) for t in (x, delta, b, c)]
        y = selective_scan(operands[0], operands[1], -rate, operands[2], operands[3], way.skip, reverse)
        out = self._put(name, y.mT[..., None])
        of_x, of_delta, of_b, of_c = (self.scale[t].scale for t in (x, delta, b, c))
        decay = rate.double().numpy() * of_delta / TABLE_STEP
        shift = min(47, 15 - math.floor(math.log2(decay.max())))
        skip = way.skip.double().numpy() / (of_delta * of_b * of_c)
        m, s = self._ratio(of_delta * of_x * of_b * of_c / out.scale)
        self.layers.append(
            Scan(
                name,
                (x, delta, b, c),
                np.minimum(np.round(decay * 2.0**shift), 65535).astype(np.uint16),
                exponent_table(TABLE_STEP),
                np.round(skip).astype(np.int32),
                shift,
                2,
                1,
                m,
                s,
                reverse,
                out.zero_point,
                out.low,
                out.high,
            )
        )
        return name

    def _put(self, name: str, value: Tensor, clamp: tuple[float, float] = SIGNED) -> Activation:
        """All 256 steps serve a tensor that is never negative."""
        if bool((value >= 0).all()):
            self.float[name] = value
            self.scale[name] = Activation(calibrate(value, (0.0, math.inf)).scale * 127 / 255, -128)
            return self.scale[name]
        return super()._put(name, value, clamp)
