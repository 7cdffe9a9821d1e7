"""ViM-VQ: post-training vector quantization of Vision Mamba (arXiv 2503.09509).

Each sub-vector of a linear projection is a convex combination of its n nearest codewords. Ratios and
codewords, the hull's vertices, are optimized together, block by block on the float network's stream and
without labels; far vertices give way to nearer ones, and decided sub-vectors are confirmed one by one, so
that those still open make up for the truncation. Where the paper is silent, VQ4DiT (arXiv 2408.17131) and
the defaults of `VimVqConfig` stand in.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from algos.batches import calibration
from algos.data.fashion_mnist import Images
from algos.methods.blocks import Stream, blocks, recorded
from algos.methods.method import Method, described
from algos.methods.plan import Target, whole
from algos.methods.prepared import LayerReport, Prepared, Task
from algos.models.deit import DeiT
from algos.models.tokens import TokenNet
from algos.models.vim import Vim
from algos.training import normalize
from algos.weights.bits import Bits, bits
from algos.weights.candidates import nearest
from algos.weights.codebook import Codebook, CodedWeight, attach
from algos.weights.grouping import Axis, ungroup
from algos.weights.kmeans import masked_kmeans
from algos.weights.soft import SoftAssignment, inverse_distance_logits, uniform_logits
from sim.errors import InputError
from sim.network import CodebookWeight
from sim.steps import steps

Variant = Literal["kmeans", "convex", "vim-vq", "dkm", "vq4dit"]
VARIANTS = get_args(Variant)

Confirmation = Literal["forced", "decided", "end"]


@dataclass(frozen=True)
class VimVqConfig:
    """How to search. Steps, penalty and rate of the ratios are VQ4DiT's; what is not published is ours."""

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
    steps: int = described("of each block; 0 is plain k-means", 500)
    batch: int = described("samples of a step", 16)
    rate_ratios: float = described("learning rate of the logits", 5e-2)
    rate_codebook: float = described("learning rate of the codewords", 1e-3)
    rate_biases: float = described("learning rate of the layers' biases, 0 leaves them", 0.0)
    penalty: Literal["absolute", "quadratic"] = described(
        "on ratios that are not 0 or 1: absolute, VQ4DiT's eq. 9, or quadratic, as its code has it",
        "absolute",
    )
    ratio_weight: float = described("of the penalty, against the relative block error", 1.0)
    gated: bool = described("add the penalty only in steps in which it is not at its least so far", False)
    replace_every: int = described("steps between replacements of vertices; 0 never replaces", 10)
    confirm: Confirmation = described(
        "sub-vectors on the way, when decided or forced by a schedule too, or truncate all at the end",
        "forced",
    )
    threshold: float = described("ratio above which a sub-vector is decided", 0.99)
    seed: int = described("of k-means and of the samples of a step", 0)

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
    attention (DKM's memory and hulls; its weights are not trained here). vq4dit: as released, but for its data,
    which are noise: two fixed candidates, gated quadratic penalty, decided ones frozen, its learning rates.
    """
    truncated = replace(config, confirm="end")
    return {
        "vim-vq": config,
        "convex": truncated,
        "kmeans": replace(config, steps=0, candidates=1),
        "dkm": replace(truncated, candidates=0, start="attention", ratio_weight=0.0, replace_every=0),
        "vq4dit": replace(
            config,
            candidates=2,
            start="distance",
            rate_ratios=5e-2,
            rate_codebook=1e-4,
            rate_biases=1e-4,
            penalty="quadratic",
            ratio_weight=1.0,
            gated=True,
            replace_every=0,
            confirm="decided",
            threshold=0.99,
        ),
    }[name]


class SoftWeight(nn.Module):
    """A weight whose sub-vectors are convex combinations of codewords.

    Args:
        target: the layer, whose weight has not been replaced yet.
    """

    def __init__(self, codebook: Codebook, mix: SoftAssignment, target: Target) -> None:
        super().__init__()
        self.codebook, self.mix = codebook, mix
        self.shape, self.axis, self.added = target.shape, target.axis, target.added

    def forward(self, weight: Tensor) -> Tensor:
        whole = ungroup(self.mix(self.codebook()), self.shape, self.axis)
        return whole[: len(whole) - self.added]


class HardWeight(CodedWeight):
    """A weight whose sub-vectors are codewords, along either axis."""

    def __init__(self, soft: SoftWeight) -> None:
        super().__init__(soft.codebook, soft.mix.code, soft.shape, soft.added)
        self.axis = soft.axis

    def vectors(self) -> Tensor:
        return F.embedding(self.assignments, self.codebook())

    def forward(self, weight: Tensor) -> Tensor:
        return self.used(ungroup(self.vectors(), self.shape, self.axis))

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


def encode(task: Task) -> Prepared:
    """Searches codewords for all layers of the plan, block by block, on the samples; needs no training.

    Raises:
        InputError: no samples, fewer than those of a step, or more candidates than codewords in a layer.
    """
    reports = search(task)
    harden(task.module)
    return task.prepared(reports)


def storage_of(config: VimVqConfig, targets: Sequence[Target]) -> list[Bits]:
    """Of the layers."""
    return [bits(one.subvectors, one.k, one.d) for one in targets]


def search(task: Task) -> dict[str, LayerReport]:
    """All of `encode` but the truncation of what is still open."""
    module, config, targets = task.module, task.config, task.plan.targets
    teacher, samples = copy.deepcopy(module).eval(), list(calibration(task.batches, module))
    trained = {name: p.requires_grad for name, p in module.named_parameters()}
    module.eval().requires_grad_(False)
    reports = {}
    for number, block in enumerate(steps(task.blocks, "clustering, block by block", len(task.blocks))):
        inside = {name: one for name, one in targets.items() if f"{name}.".startswith(f"{block}.")}
        weights = {}
        for name, target in inside.items():
            vectors = target.vectors()
            weights[name] = clustered(target, vectors, config)
            error = float(
                (weights[name].codebook().detach()[weights[name].mix.code] - vectors).square().sum()
            )
            reports[name] = LayerReport(error, error, target.bits)
        generator = torch.Generator().manual_seed(config.seed + number)
        biases = [one.layer.bias for one in inside.values() if one.layer.bias is not None]
        if config.steps:
            stream = recorded(teacher, block, samples)
            _optimize(module.get_submodule(block), list(weights.values()), biases, stream, config, generator)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(trained.get(name, not name.endswith("original")))
    return reports


def calibrate(model: TokenNet, images: Images, config: VimVqConfig) -> Bits:
    """Compresses a shipped network in place; labels are not used.

    Raises:
        InputError: fewer images than a batch, d does not divide a layer, n exceeds its codewords.
    """
    soften(model, images, config)
    harden(model)
    return storage(model)


def soften(model: TokenNet, images: Images, config: VimVqConfig) -> None:
    """All of `calibrate` but the truncation of what is still open."""
    found = whole(model.body(), config, storage_of)
    names = tuple(blocks(model, found.targets))
    search(Task(model, found, config, [normalize(images.pixels)], names))


def harden(module: nn.Module) -> None:
    """Gives every sub-vector still open the codeword of its largest ratio; soft weights become hard."""
    for layer in list(module.modules()):
        if not parametrize.is_parametrized(layer, "weight"):
            continue
        weight = layer.parametrizations.weight[0]
        if isinstance(weight, SoftWeight):
            weight.mix.confirm_top(1)
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
            attach(layer, HardWeight(weight))


def storage(model: nn.Module) -> Bits:
    """Bits of the compressed projections, each with its own codebook."""
    weights = [part for part in model.modules() if isinstance(part, HardWeight)]
    return sum((bits(len(w.assignments), *w.codebook.codewords.shape) for w in weights), Bits())


def clustered(target: Target, vectors: Tensor, config: VimVqConfig) -> SoftWeight:
    """k-means codebook, hulls of the n nearest codewords and their first ratios, put on the layer."""
    found = masked_kmeans(vectors, None, target.k, seed=config.seed, start="k-means++")
    codebook = Codebook(found.codebook)
    near = nearest(vectors, codebook().detach(), config.candidates or target.k)
    if config.start == "attention":
        squares = near.distances**2
        logits = -squares / squares[:, 0].mean()
    else:
        logits = (uniform_logits if config.start == "uniform" else inverse_distance_logits)(near.distances)
    weight = SoftWeight(codebook, SoftAssignment(near.indices, logits), target)
    parametrize.register_parametrization(target.layer, "weight", weight, unsafe=True)
    return weight


def _optimize(
    block: nn.Module,
    weights: list[SoftWeight],
    biases: list[nn.Parameter],
    stream: Stream,
    config: VimVqConfig,
    generator: torch.Generator,
) -> None:
    """Optimizes ratios and codebooks of a block, both fed what the float network gives it."""
    if len(stream) < config.batch:
        raise InputError(
            "batches",
            len(stream),
            f"fewer samples than a batch of {config.batch}",
            "give more or a smaller batch",
        )
    tuned = biases if config.rate_biases else []
    groups = [
        {"params": [weight.mix.logits for weight in weights], "lr": config.rate_ratios},
        {"params": [p for one in weights for p in one.codebook.parameters()], "lr": config.rate_codebook},
        {"params": [bias.requires_grad_() for bias in tuned], "lr": config.rate_biases},
    ]
    optimizer = torch.optim.RMSprop([group for group in groups if group["params"]], alpha=0.9)
    scale, least = stream.added().square().mean(), torch.inf
    for step in range(1, config.steps + 1):
        chosen = torch.randint(len(stream), (config.batch,), generator=generator).to(stream.output.device)
        error = F.mse_loss(stream.run(block, chosen), stream.output[chosen]) / scale
        penalty = torch.stack([weight.mix.penalty(config.penalty) for weight in weights]).mean()
        found = float(penalty.detach()) if config.gated else torch.inf
        optimizer.zero_grad()
        (error if found <= least and config.gated else error + config.ratio_weight * penalty).backward()
        least = min(least, found)
        optimizer.step()
        for weight in weights:
            if config.replace_every and step % config.replace_every == 0:
                replace_farthest(weight.mix, weight.codebook().detach())
            if config.confirm != "end":
                weight.mix.confirm(config.threshold)
            if config.confirm == "forced":
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


METHOD = Method(
    "vim-vq",
    "convex hulls of codewords, searched without labels (arXiv 2503.09509)",
    VimVqConfig(k=256, d=4, axis="output"),
    encode,
    storage_of,
    models=(Vim, DeiT),
)
"""2 bits a weight without codebooks; sub-vectors of outputs, as the machines read them."""


def _relative(name: Variant, about: str) -> Method[VimVqConfig]:
    return replace(METHOD, name=name, about=about, defaults=variant(name, METHOD.defaults))


RELATIVES = (
    _relative("convex", "ViM-VQ that truncates all at the end (its Table 4)"),
    _relative("dkm", "ViM-VQ's search over all codewords, as DKM (arXiv 2108.12659) mixes them"),
    _relative("vq4dit", "VQ4DiT as released (arXiv 2408.17131), on images in place of noise"),
)
"""What `variant` makes of it."""
