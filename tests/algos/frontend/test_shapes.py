"""Torch modules, and the layer shapes they must become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.frontend.operator import Call, Operator
from algos.frontend.operators import OPERATORS
from algos.frontend.shapes import import_module
from algos.models.resnet import ResNet
from sim.errors import InputError
from sim.importers.steps import Step
from sim.shapes import ConvShape, PassShape
from sim.workloads import workload


class Mobile(nn.Module):
    """Inverted residual with squeeze-and-excite, then a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(4, 8, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depth = nn.Conv2d(8, 8, 3, padding="same", dilation=2, groups=8)
        self.squeeze = nn.Linear(8, 2)
        self.excite = nn.Linear(2, 8)
        self.project = nn.Conv2d(8, 4, 1)
        self.classify = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.norm(self.expand(x)))
        y = F.silu(self.depth(y))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3))))))
        y = x + self.project(y * gate[:, :, None, None])
        return self.classify(F.adaptive_avg_pool2d(y, 1).flatten(1))


class Attention(nn.Module):
    """One block of two heads over an embedding, causal, with a gated linear unit."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)
        self.up = nn.Linear(8, 12)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        q, k, v = self.qkv(self.norm(x)).view(1, 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(1, 5, 8))
        left, right = self.up(x).chunk(2, -1)
        return left * F.silu(right)


def test_a_mobile_block() -> None:
    module = Mobile().train()
    assert import_module(module, (torch.rand(1, 4, 6, 6),)) == [
        ConvShape("expand", 4, 8, size=(6, 6), chained=False),
        ConvShape("depth", 8, 8, (3, 3), padding=(2, 2), size=(6, 6), dilation=(2, 2), groups=8),
        PassShape("mean", "pool", 288, 1, 8),
        ConvShape("squeeze", 8, 2),
        ConvShape("excite", 2, 8),
        PassShape("mul", "multiply", 288, 2, 288, chained=False, reads=296),
        ConvShape("project", 8, 4, size=(6, 6), residual="add"),
        PassShape("adaptive_avg_pool2d", "pool", 144, 1, 4),
        ConvShape("classify", 4, 10),
    ]
    assert module.training
    assert module.norm.training


def test_attention() -> None:
    name = "scaled_dot_product_attention"
    assert import_module(Attention(), (torch.arange(5)[None],)) == [
        PassShape("norm", "layernorm", 40, 1, 40, chained=False),
        ConvShape("qkv", 8, 24, size=(5, 1)),
        ConvShape(f"{name}.scores", 8, 10, size=(5, 1), groups=2, dynamic=True),
        PassShape(f"{name}.softmax", "softmax", 50, 1, 50),
        ConvShape(f"{name}.values", 10, 8, size=(5, 1), groups=2, dynamic=True),
        ConvShape("out", 8, 8, size=(5, 1), residual="add"),
        ConvShape("up", 8, 12, size=(5, 1)),
        PassShape("silu", "table", 30, 1, 30),
        PassShape("mul", "multiply", 30, 2, 30, chained=False),
    ]


def test_encoder_of_torch() -> None:
    """Its fused path, which the operation counter does not see, is recorded and counted in parts."""
    layer = nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True)
    shapes = import_module(layer, (torch.rand(1, 6, 16),))
    assert sum(shape.macs for shape in shapes) == 6 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 6 * 6 * 16
    assert [shape.residual for shape in shapes if isinstance(shape, ConvShape)].count("") == 4


def test_the_projects_resnet_equals_the_built_in_one() -> None:
    """The same layers but for names, order of the shortcuts, and so who carries the addition.

    An importer does not know which axis of a pass holds the channels.
    """

    def plain(shape: ConvShape | PassShape) -> ConvShape | PassShape:
        if isinstance(shape, ConvShape):
            return replace(shape, name="", chained=True, residual="")
        return replace(shape, name="", chained=True, channels=0)

    ours, built_in = import_module(ResNet(20), (torch.rand(1, 1, 28, 28),)), workload("resnet20").shapes
    key = repr
    assert sorted(map(plain, ours), key=key) == sorted(map(plain, built_in), key=key)
    assert sum(shape.macs for shape in ours) == 31_021_952
    assert sum(bool(shape.residual) for shape in ours if isinstance(shape, ConvShape)) == 9


def test_products_of_all_kinds() -> None:
    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.rand(6, 4))

        def forward(self, x: Tensor) -> Tensor:
            y = torch.einsum("bnc,bmc->bnm", x, x)
            return torch.baddbmm(y, x, x.transpose(1, 2)) + (self.table @ x.transpose(1, 2)).sum()

    shapes = import_module(Products(), (torch.rand(1, 5, 4),))
    assert sum(shape.macs for shape in shapes) == 2 * 100 + 120
    assert [shape.dynamic for shape in shapes if isinstance(shape, ConvShape)] == [True, True, False]


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.lgamma() + 1


def test_an_unknown_operator_names_its_node_and_the_way_out() -> None:
    x = torch.rand(1, 5, 4)
    with pytest.raises(InputError, match=r"node lgamma = 'aten.lgamma': .*operators=\['aten.lgamma'\]"):
        import_module(Unknown(), (x,))
    assert import_module(Unknown(), (x,), ["aten.lgamma"]) == [
        PassShape("lgamma", "other", 20, 1, 20, chained=False)
    ]
    with pytest.raises(InputError, match=r"'aten.lgamna': not in the network. Fix: use 'aten.lgamma'"):
        import_module(Unknown(), (x,), ["aten.lgamna"])


@pytest.mark.parametrize(
    ("module", "size", "message"),
    [
        (nn.Conv2d(1, 2, 3), (4, 1, 8, 8), "batch = 4: layer shapes describe one image. Fix: .* batch of 1"),
        (nn.Identity(), (1, 4), "network = 'Identity': has no layer. Fix: "),
        (nn.Linear(3, 4), (1, 5), "module = 'Linear': torch.export cannot record it: .* Fix: "),
    ],
)
def test_refusals(module: nn.Module, size: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_module(module, (torch.rand(size),))


class Silent(Operator):
    """Loses its layer, unless the node has that name."""

    def __init__(
        self, kept: str, steps: Callable[[Call], list[Step]], otherwise: Operator | None = None
    ) -> None:
        self.kept, self.whole, self.otherwise = kept, steps, otherwise

    def steps(self, call: Call) -> list[Step]:
        if call.name == self.kept:
            return self.whole(call)
        return self.otherwise.steps(call) if self.otherwise else []


def test_a_dropped_layer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), torch.rand(1, 4)
    linear, view = OPERATORS["aten.linear"], OPERATORS["aten.view"]
    for name, operator, message in (
        ("aten.linear", view, "network = 'Sequential': has no layer"),
        ("aten.relu", Silent("", linear.steps), r"tensor relu = '2': .*no layer before writes it"),
        (
            "aten.linear",
            Silent("0", linear.steps, view),
            r"Sequential: MACs = 16: torch\S+ counts 24. Fix: report",
        ),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(OPERATORS, name, operator)
            with pytest.raises(InputError, match=message):
                import_module(module, (x,))


class Chosen(nn.Module):
    """What the network computes says which elements of it go on."""

    def forward(self, x: Tensor) -> Tensor:
        best, places = (x @ x.transpose(1, 2)).topk(2, -1)
        return torch.where(best > x[..., :2], best, places.cumsum(-1) + x.gather(-1, places))


class Pairs(nn.Module):
    """Two images out of one input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.cat([x, -x]))


@pytest.mark.parametrize(
    ("module", "size", "macs", "passes"),
    [
        (nn.Conv3d(2, 4, 3, padding=1, stride=2), (1, 2, 8, 8, 8), 4 * 2 * 27 * 64, []),
        (nn.Conv3d(4, 4, (3, 1, 1), groups=2), (1, 4, 6, 5, 5), 4 * 2 * 3 * 4 * 25, []),
        (
            nn.Sequential(nn.Conv3d(1, 2, 1), nn.MaxPool3d((1, 3, 3), 2, (0, 1, 1)), nn.AdaptiveAvgPool3d(1)),
            (1, 1, 4, 8, 8),
            2 * 256,
            [("pool", 9 * 2 * 2 * 4 * 4), ("pool", 2 * 2 * 4 * 4)],
        ),
        (nn.Sequential(nn.Conv3d(1, 2, 1), nn.AvgPool3d(2)), (1, 1, 4, 8, 8), 2 * 256, [("pool", 2 * 256)]),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 5), 4 * 6 * 4 * 25, []),
        (
            nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
            (1, 4, 5, 5),
            4 * 3 * 9 * 25,
            [("pool", 6 * 9 * 25)],
        ),
        (nn.ConvTranspose3d(4, 6, 2, stride=2), (1, 4, 5, 5, 5), 4 * 6 * 8 * 125, []),
        (Pairs(), (1, 2, 8, 8), 2 * 3 * 2 * 9 * 64, [("concat", 256)]),
        (
            Chosen(),
            (1, 5, 8),
            5 * 5 * 8,
            [("pool", 50), ("pool", 10), ("pool", 10), ("rearrange", 10), ("add", 10), ("pool", 10)],
        ),
    ],
)
def test_products_and_passes_by_hand(
    module: nn.Module, size: tuple[int, ...], macs: int, passes: list[tuple[str, int]]
) -> None:
    shapes = import_module(module, (torch.rand(size),))
    assert sum(shape.macs for shape in shapes) == macs
    found = [(s.kind, s.operations) for s in shapes if isinstance(s, PassShape)]
    assert sorted(found) == sorted(passes)


def test_a_token_meets_the_matrix_of_one_expert() -> None:
    """Mixtral's experts as `transformers` has them: two of four a token, and another operator where it records."""
    mixtral = pytest.importorskip("transformers.models.mixtral")
    tokens, width, hidden, chosen, vocabulary = 6, 32, 64, 2, 50
    config = mixtral.MixtralConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=hidden,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
        num_experts_per_tok=chosen,
        use_cache=False,
    )
    model = mixtral.MixtralModel(config).requires_grad_(False)
    shapes = import_module(model, [torch.zeros(1, tokens, dtype=torch.long)])
    experts = [shape for shape in shapes if "grouped_mm" in shape.name]
    assert sum(shape.macs for shape in experts) == tokens * chosen * 3 * width * hidden


def test_windows_that_overlap_bring_their_map_once() -> None:
    """Of max_pool2d(3, 2, padding 1) on 8x8: five lines lie in L1; of windows side by side none is read again."""

    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.max_pool2d(F.max_pool2d(x, 3, 2, 1), 2)

    assert import_module(Pooled(), (torch.rand(1, 4, 8, 8),)) == [
        PassShape("max_pool2d", "pool", 4 * 16 * 9, 1, 64, False, operand=256, under=5 * 4 * 8),
        PassShape("max_pool2d_1", "pool", 4 * 4 * 4, 1, 16),
    ]
