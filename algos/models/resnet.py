"""ResNet for small grey images (He et al. 2016, sec. 4.2), with 1x1 convolutions as shortcuts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.training import Recipe
from sim.errors import InputError

SHORT_TRAINING = Recipe(epochs=4, rate=0.1)
"""From scratch, in minutes. ResNet-8 of width 16 on the first 12,000 training images of Fashion-MNIST, seed
0, one thread: 84.63 % of the 10,000 test images right."""


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = (
            nn.Sequential()
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + shortcut)


class ResNet(nn.Module):
    """ResNet-(6n+2) for pixels in 0..1, [batch, 1, 28, 28] -> logits [batch, 10].

    Args:
        depth: 20 gives 272,186 parameters at width 16; 8 is the small one.
        width: channels of the first stage.
    """

    def __init__(self, depth: int = 20, width: int = 16) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise InputError("depth", depth, "is not 6n + 2", "use 8, 14, 20, ...")
        self.depth, self.width = depth, width
        self.conv = nn.Conv2d(1, width, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        blocks, inputs = [], width
        for stage in range(3):
            outputs = width << stage
            for _ in range((depth - 2) // 6):
                blocks.append(Block(inputs, outputs, 1 if inputs == outputs else 2))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        return self.fc(x.mean((2, 3)))

    def body(self) -> dict[str, nn.Conv2d]:
        """The convolutions behind the stem, by name: those that are compressed."""
        return {
            name: layer
            for name, layer in self.blocks.named_modules(prefix="blocks")
            if isinstance(layer, nn.Conv2d)
        }


@torch.no_grad()
def widened(model: ResNet, multiple: int) -> ResNet:
    """The same function with channels of value 0 added, so that `multiple` divides the width."""
    wide = ResNet(model.depth, -(-model.width // multiple) * multiple)
    state = wide.state_dict()
    for name, old in model.state_dict().items():
        new = state[name]
        if not name.endswith(("running_var", "num_batches_tracked")) and "bn" not in name:
            new.zero_()
        new[tuple(slice(n) for n in old.shape)] = old
    wide.load_state_dict(state)
    return wide
