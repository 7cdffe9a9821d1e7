"""ViM-VQ: post-training vector quantization of Vision Mamba (arXiv 2503.09509).

Each sub-vector of a linear projection is a convex combination of its n nearest codewords. Ratios and
codewords, the hull's vertices, are optimized together, block by block on the float network's stream and
without labels; far vertices give way to nearer ones, and decided sub-vectors are confirmed one by one, so
that those still open make up for the truncation. Where the paper is silent, VQ4DiT (arXiv 2408.17131) and
the defaults of `VimVqConfig` stand in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from algos.data.fashion_mnist import Images
from algos.methods.method import Data, Method, described
from algos.models.deit import DeiT
from algos.models.tokens import TokenNet
from algos.models.vim import Vim
from algos.training import Report, normalize
from algos.weights.bits import Bits, bits
from algos.weights.candidates import nearest
from algos.weights.codebook import Codebook, CodedWeight, attach
from algos.weights.grouping import Axis, group, ungroup
from algos.weights.kmeans import masked_kmeans
from algos.weights.soft import SoftAssignment, inverse_distance_logits, uniform_logits
from sim.errors import InputError
from sim.network import CodebookWeight
from sim.steps import steps

Variant = Literal["kmeans", "convex", "vim-vq", "dkm", "vq4dit"]
VARIANTS = get_args(Variant)


@dataclass(frozen=True)
class VimVqConfig:
    """How to search. The defaults are ours, not tuned; RMSprop and the ratios' rate are VQ4DiT's."""

    k: int = described("codewords of a layer; one with fewer than 2k sub-vectors gets half of them")
    d: int = described("codeword length")
    axis: Axis = described(
        "of a sub-vector: input as in the paper, or output, which the accelerator reads", "input"
    )
    candidates: int = described("vertices of a hull; 0 takes all codewords", 3)
    start: Literal["uniform", "distance", "attention"] = described(
        "of the ratios: uniform, (inverse) distance, or attention, softmax(-distance^2 / the mean square "
        "distance to the nearest codeword)",
        "uniform",
    )
    steps: int = described("of each block; 0 is plain k-means", 100)
    batch: int = described("images of a step", 16)
    rate_ratios: float = described("learning rate of the logits", 5e-2)
    rate_codebook: float = described("learning rate of the codewords", 1e-3)
    ratio_weight: float = described(
        "of the penalty on ratios that are not 0 or 1, against the relative block error", 0.1
    )
    replace_every: int = described("steps between replacements of vertices; 0 never replaces", 10)
    confirm: bool = described("confirm sub-vectors on the way, or truncate all at the end", True)
    threshold: float = described("ratio above which a sub-vector is confirmed", 0.99)
    seed: int = described("of k-means and of the images of a step", 0)

    def __post_init__(self) -> None:
        if self.k < max(2, self.candidates):
            raise InputError(
                "k",
                self.k,
                f"a hull has {self.candidates or 'all'} vertices, and a codebook at least two codewords",
                f"use {max(2, self.candidates)} or more",
            )


def variant(name: Variant, config: VimVqConfig) -> VimVqConfig:
    """The method itself, its ablations (Table 4) and the methods it is compared with.

    kmeans: plain VQ. convex: no incremental confirmation. dkm: ratios over all codewords, started by
    attention (DKM's memory and hulls; its weights are not trained here). vq4dit: two fixed candidates.
    """
    truncated = replace(config, confirm=False)
    return {
        "vim-vq": config,
        "convex": truncated,
        "kmeans": replace(config, steps=0, candidates=1),
        "dkm": replace(truncated, candidates=0, start="attention", ratio_weight=0.0, replace_every=0),
        "vq4dit": replace(truncated, candidates=2, start="distance", replace_every=0),
    }[name]


class SoftWeight(nn.Module):
    """A weight whose sub-vectors are convex combinations of codewords."""

    def __init__(self, codebook: Codebook, mix: SoftAssignment, shape: torch.Size, axis: Axis) -> None:
        super().__init__()
        self.codebook, self.mix, self.shape, self.axis = codebook, mix, shape, axis

    def forward(self, weight: Tensor) -> Tensor:
        return ungroup(self.mix(self.codebook()), self.shape, self.axis)


class HardWeight(CodedWeight):
    """A weight whose sub-vectors are codewords, along either axis."""

    def __init__(self, codebook: Codebook, assignments: Tensor, shape: torch.Size, axis: Axis) -> None:
        super().__init__(codebook, assignments, shape)
        self.axis = axis

    def vectors(self) -> Tensor:
        return F.embedding(self.assignments, self.codebook())

    def forward(self, weight: Tensor) -> Tensor:
        return ungroup(self.vectors(), self.shape, self.axis)

    def stored(self) -> CodebookWeight:
        """In integers.

        Raises:
            InputError: sub-vectors along the inputs, which the accelerator does not read.
        """
        if self.axis == "input":
            raise InputError(
                "axis",
                self.axis,
                "a codeword of the accelerator is d output channels",
                "calibrate with axis='output'",
            )
        return CodebookWeight(self.codebook.integers(), self.stored_assignments())


def calibrate(model: TokenNet, images: Images, config: VimVqConfig) -> Bits:
    """Compresses a float model in place; labels are not used.

    Raises:
        InputError: fewer images than a batch, d does not divide a layer, n exceeds its codewords.
    """
    soften(model, images, config)
    harden(model)
    return storage(model)


def soften(model: TokenNet, images: Images, config: VimVqConfig) -> None:
    """All of `calibrate` but the truncation of what is still open."""
    if len(images) < config.batch:
        raise InputError(
            "images",
            len(images),
            f"fewer than a batch of {config.batch}",
            "give more images or a smaller batch",
        )
    model.eval().requires_grad_(False)
    with torch.no_grad():
        stream = model.patches(normalize(images.pixels))
    for number, block in enumerate(steps(model.blocks, "clustering, block by block", len(model.blocks))):
        with torch.no_grad():
            after = block(stream)
        weights = [
            _clustered(layer, config)
            for name, layer in model.body().items()
            if name.startswith(f"blocks.{number}.")
        ]
        generator = torch.Generator().manual_seed(config.seed + number)
        _search(block, weights, stream, after, config, generator)
        stream = after


def harden(model: TokenNet) -> None:
    """Gives every sub-vector still open the codeword of its largest ratio; soft weights become hard."""
    for layer in model.body().values():
        weight = layer.parametrizations.weight[0]
        assert isinstance(weight, SoftWeight)
        weight.mix.confirm_top(1)
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        attach(layer, HardWeight(weight.codebook, weight.mix.code, weight.shape, weight.axis))


def storage(model: nn.Module) -> Bits:
    """Bits of the compressed projections, each with its own codebook."""
    weights = [part for part in model.modules() if isinstance(part, HardWeight)]
    return sum((bits(len(w.assignments), *w.codebook.codewords.shape) for w in weights), Bits())


def _clustered(layer: nn.Linear, config: VimVqConfig) -> SoftWeight:
    """k-means codebook, hulls of the n nearest codewords and their first ratios."""
    vectors = group(layer.weight.detach(), config.d, config.axis)
    k = min(config.k, len(vectors) // 2)
    codebook = Codebook(masked_kmeans(vectors, None, k, seed=config.seed, start="k-means++").codebook)
    found = nearest(vectors, codebook().detach(), config.candidates or k)
    if config.start == "attention":
        squares = found.distances**2
        logits = -squares / squares[:, 0].mean()
    else:
        logits = (uniform_logits if config.start == "uniform" else inverse_distance_logits)(found.distances)
    weight = SoftWeight(codebook, SoftAssignment(found.indices, logits), layer.weight.shape, config.axis)
    parametrize.register_parametrization(layer, "weight", weight, unsafe=True)
    return weight


def _search(
    block: nn.Module,
    weights: list[SoftWeight],
    before: Tensor,
    after: Tensor,
    config: VimVqConfig,
    generator: torch.Generator,
) -> None:
    """Optimizes ratios and codebooks of a block, both fed what the float network gives it."""
    scale = (after - before).square().mean()
    optimizer = torch.optim.RMSprop(
        [
            {"params": [weight.mix.logits for weight in weights], "lr": config.rate_ratios},
            {
                "params": [p for weight in weights for p in weight.codebook.parameters()],
                "lr": config.rate_codebook,
            },
        ],
        alpha=0.9,
    )
    for step in range(1, config.steps + 1):
        chosen = torch.randint(len(before), (config.batch,), generator=generator)
        error = F.mse_loss(block(before[chosen]), after[chosen]) / scale
        penalty = torch.stack([weight.mix.absolute_penalty() for weight in weights]).mean()
        optimizer.zero_grad()
        (error + config.ratio_weight * penalty).backward()
        optimizer.step()
        if config.replace_every and step % config.replace_every == 0:
            for weight in weights:
                replace_farthest(weight.mix, weight.codebook().detach())
        if config.confirm:
            for weight in weights:
                weight.mix.confirm(config.threshold)
                weight.mix.confirm_top(max(0.0, 2 * step / config.steps - 1))


@torch.no_grad()
def replace_farthest(mix: SoftAssignment, codebook: Tensor) -> None:
    """Moves hulls: the codeword nearest to an open sub-vector's mixture that is no vertex yet takes the
    place, and the ratio, of the vertex of least ratio, if it is nearer than that one.

    The vertex of largest ratio stays, and vertices stay distinct.
    """
    open, n = mix.open(), mix.candidates.shape[1]
    if not 1 < n < len(codebook) or not len(open):
        return
    held, ratios = mix.candidates[open], mix.ratios()
    mixture = (ratios[..., None] * codebook[held]).sum(1)
    near = nearest(mixture, codebook, n + 1)
    new = (near.indices[:, :, None] != held[:, None]).all(2).int().argmax(1, keepdim=True)
    best = ratios.argmax(1, keepdim=True)
    last = ratios.scatter(1, best, torch.inf).argmin(1, keepdim=True)
    from_last = (codebook[held.gather(1, last)[:, 0]] - mixture).norm(dim=1)
    farther = from_last > near.distances.gather(1, new)[:, 0]
    moved = held.scatter(1, last, near.indices.gather(1, new))
    mix.candidates[open[farther]] = moved[farther]


def apply(model: TokenNet, data: Data, config: VimVqConfig, checkpoint: Path | None, report: Report) -> None:
    """Calibrates in place, in too short a time for checkpoints and reports."""
    calibrate(model, data.calibration, config)


METHOD = Method(
    "vim-vq",
    "convex hulls of codewords, searched without labels (arXiv 2503.09509)",
    VimVqConfig(k=256, d=4, axis="output"),
    apply,
    models=(Vim, DeiT),
)
"""2 bits a weight without codebooks; sub-vectors of outputs, as the machines read them."""


def _relative(name: Variant, about: str) -> Method[VimVqConfig]:
    return replace(METHOD, name=name, about=about, defaults=variant(name, METHOD.defaults))


RELATIVES = (
    _relative("convex", "ViM-VQ that truncates all at the end (its Table 4)"),
    _relative("dkm", "ViM-VQ's search over all codewords, as DKM (arXiv 2108.12659) mixes them"),
    _relative("vq4dit", "ViM-VQ's search over two fixed candidates, as VQ4DiT (arXiv 2408.17131) mixes them"),
)
"""What `variant` makes of it."""
