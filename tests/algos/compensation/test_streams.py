"""The driver against the plainest one: whole passes of both networks before each layer, hooks of its own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.compensation import Rounding, Solver, Statistics, compensate, solve
from algos.models.llama import Llama, Shape
from sim.errors import InputError


class Attention(nn.Module):
    """Three layers that read one tensor, and one behind them; called with something beside the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: Tensor, scale: float) -> Tensor:
        found = F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), scale=scale)
        return x + self.out(found)


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 8)
        self.layers = nn.ModuleList(Attention() for _ in range(2))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x, 0.5)
        return self.head(x)


def pictures() -> nn.Module:
    body = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1, groups=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 1))
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), body, nn.Flatten(), nn.Linear(54, 4))


def columns(layer: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Rows that each group multiplies, patch by patch."""
    if isinstance(layer, nn.Linear):
        return [inputs.reshape(-1, inputs.shape[-1])]
    height, width = layer.kernel_size
    padded = F.pad(inputs, (layer.padding[1],) * 2 + (layer.padding[0],) * 2)
    patches = padded.unfold(2, height, layer.stride[0]).unfold(3, width, layer.stride[1])
    parts = patches.permute(0, 2, 3, 4, 5, 1).chunk(
        layer.groups, 5
    )  # channels of one kernel position together
    return [part.reshape(-1, part.shape[3:].numel()) for part in parts]


def plainly(module: nn.Module, batches: list[Tensor], names: list[str], rounding: Rounding, solver: Solver):
    """Rounds the layers in place, in this order, and returns the levels."""
    float_one, levels = copy.deepcopy(module), {}
    for name in names:
        seen: list[list[Tensor]] = []
        for network in (module, float_one):
            read: list[Tensor] = []
            handle = network.get_submodule(name).register_forward_hook(
                lambda _, args, __, read=read: read.append(args[0])
            )
            with torch.no_grad():
                for batch in batches:
                    network(batch)
            handle.remove()
            seen.append(read)
        layer = module.get_submodule(name)
        weight = layer.weight.detach()
        rows_of = weight.permute(0, 2, 3, 1).flatten(1) if weight.ndim == 4 else weight
        rows = [[columns(layer, one) for one in read] for read in seen]
        parts = []
        for n, part in enumerate(rows_of.chunk(len(rows[0][0]))):
            statistics = Statistics(part.shape[1])
            for one, other in zip(*rows, strict=True):
                statistics.add(one[n], other[n])
            parts.append(solve(part, statistics, rounding, solver))
        levels[name] = torch.cat([one.codes for one in parts])
        rounded = torch.cat([one.weights() for one in parts])
        if weight.ndim == 4:
            outputs, inputs, height, width = weight.shape
            rounded = rounded.reshape(outputs, height, width, inputs).permute(0, 3, 1, 2)
        weight.copy_(rounded)
    return levels


LLAMA = Shape(vocabulary=16, dim=16, blocks=2, heads=4, kv_heads=2, hidden=24, context=8)


def theirs() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=16,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return transformers.LlamaForCausalLM(config)


PROJECTIONS = [
    f"model.layers.{n}.{part}_proj"
    for n in range(2)
    for part in (
        *("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o"),
        *("mlp.gate", "mlp.up", "mlp.down"),
    )
]

CASES = {
    "llama": (lambda: Llama(LLAMA), lambda: torch.randint(16, (2, 8)), PROJECTIONS),
    "transformers": (theirs, lambda: torch.randint(16, (2, 8)), PROJECTIONS),
    "tokens": (
        Tokens,
        lambda: torch.randn(4, 5, 6, dtype=torch.float64),
        [f"layers.{n}.{part}" for n in range(2) for part in ("q", "k", "v", "out")],
    ),
    "pictures": (pictures, lambda: torch.randn(4, 3, 6, 6, dtype=torch.float64), ["2.0", "2.3"]),
}


@pytest.mark.parametrize("solver", [Solver(), Solver(alpha1=0.25, alpha2=0.25), Solver(from_optimum=True)])
@pytest.mark.parametrize("case", CASES)
def test_each_layer_sees_what_the_rounded_ones_before_it_give(case, solver):
    build, draw, names = CASES[case]
    torch.manual_seed(1)
    module = build().double().eval()
    batches = [draw() for _ in range(3)]
    other = copy.deepcopy(module)
    wanted = plainly(other, batches, names, Rounding(bits=3), solver)
    found = compensate(module, batches, Rounding(bits=3), solver, include=names, dtype=torch.float64)
    assert list(found) == names
    for name in names:
        codes = torch.cat([one.codes for one in found[name].groups])
        assert (codes == wanted[name]).all(), name
        torch.testing.assert_close(module.get_submodule(name).weight, other.get_submodule(name).weight)
    for name, part in module.named_parameters():
        if name.removesuffix(".weight") not in names:
            assert part.equal(other.get_parameter(name)), name


def test_a_layer_inside_a_training_module_is_rounded_in_evaluation():
    torch.manual_seed(2)
    module = pictures().train()
    before = copy.deepcopy(module[2][1].running_mean)
    compensate(module, [torch.randn(4, 3, 6, 6)], include="2.0")
    assert module.training
    assert module[2][1].running_mean.equal(before)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"include": "nothing"}, "layers"),
        ({"exclude": "layers.*"}, "layers"),
        ({"rounding": Rounding(group=3)}, "layers.0.q: group"),
    ],
)
def test_mistakes_are_named(options, named):
    with pytest.raises(InputError, match=named):
        compensate(Tokens(), [torch.randn(2, 5, 6)], **options)


def test_no_samples():
    with pytest.raises(InputError, match="batches"):
        compensate(Tokens(), [])


def test_the_float_stream_runs_once():
    """However many sets of layers a block has: what its last layer of the float module is called for."""
    calls: list[int] = []

    class Counted(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(id(self))
            return super().forward(x)

    module, batches = Tokens(), [torch.randn(2, 5, 6) for _ in range(4)]
    module.layers[1].out = Counted(8, 8)
    compensate(module, batches, Rounding(bits=3))
    of_float = [one for one in calls if one != id(module.layers[1].out)]
    assert len(of_float) == 1 + len(batches)  # one to see whether blocks are in a row


def test_a_cache_of_keys_does_not_grow_and_comes_back():
    module = theirs()
    compensate(module, [{"input_ids": torch.randint(16, (2, 8))}], Rounding(3), include=PROJECTIONS)
    assert module.config.use_cache


def test_a_calibration_of_few_tokens_is_refused_without_damping():
    module = Llama(LLAMA)
    with pytest.raises(InputError, match=r"layers.0.self_attn.q_proj: damping = 0.0: .*singular"):
        compensate(module, [torch.randint(16, (1, 4))], Rounding(3), Solver(damping=0.0), include=PROJECTIONS)
