"""What Vim and DeiT share: patches become tokens, blocks, a norm, and the mean over tokens is classified."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from algos.models.patches import Patches


class TokenNet(nn.Module):
    """Pixels in 0..1, [batch, 1, 28, 28] -> logits [batch, 10]; 16 tokens.

    Args:
        dim: channels of a token.
        blocks: tokens -> tokens, [batch, 16, dim].
        norm: over the channels.
    """

    def __init__(self, dim: int, blocks: Iterable[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.patches = Patches(dim)
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.head = nn.Linear(dim, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patches(pixels)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))

    def body(self) -> dict[str, nn.Linear]:
        """The linear projections of the blocks by name: those that are compressed."""
        return {
            name: layer
            for name, layer in self.blocks.named_modules(prefix="blocks")
            if isinstance(layer, nn.Linear)
        }
