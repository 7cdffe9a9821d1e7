"""Implicit cross attention of DFVEdit: where the edit may go, read from how video tokens look at the edited words.

Only the columns of those words are computed, and only their sum over layers is kept: a value a video token.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.video.attention import Site, columns, tapped
from algos.video.edits import Edit
from algos.video.models import VideoModel


class WordMaps:
    """Maps of the edited words, source words under the source prompt and target words under the target prompt.

    They are sums over heads, layers and all iterations so far.

    Args:
        shape: of the clip.
        threshold: of the maps, which are normalized to 0..1 for it.
    """

    def __init__(self, model: VideoModel, task: Edit, shape: torch.Size, threshold: float) -> None:
        self.model, self.shape, self.threshold = model, shape, threshold
        self.words = {"source": task.places(model), "target": task.changed(model)[1]}
        self.text = task.text(model, "none").shape[1]
        self.sums: dict[str, Tensor] = {}

    @contextmanager
    def reading(self, side: str) -> Iterator[None]:
        """Adds the maps of the forward passes within, of whose two clips the second has the prompt."""

        def read(site: Site, queries: Tensor, keys: Tensor) -> None:
            prompted = len(queries) // 2  # a U-Net has a sequence for each frame
            before = self.text if site.kind == "joint" else 0
            found = columns(queries[prompted:], keys[prompted:], self.words[side], before)
            grown = F.interpolate(self._places(found), self.shape[2:], mode="trilinear")
            self.sums[side] = self.sums[side] + grown if side in self.sums else grown

        if not self.words[side]:
            yield
            return
        with tapped(self.model.backbone, read):
            yield

    def _places(self, found: Tensor) -> Tensor:
        """Values of video tokens [sequences, tokens] as [1, 1, frames, height, width]."""
        _, _, frames, high, wide = self.shape
        patch = getattr(self.model.backbone.config, "patch_size_t", None)
        sizes = getattr(self.model.backbone.config, "patch_size", 1)
        together = sizes[0] if isinstance(sizes, tuple | list) else patch or 1
        frames //= together
        rows = round((found.numel() / frames * high / wide) ** 0.5)
        return found.reshape(1, 1, frames, rows, -1)

    def mask(self) -> Tensor:
        """float32 0 or 1, [1, 1, frames, height, width]: where either side's words are looked at."""
        kept = torch.zeros(1, 1, *self.shape[2:], dtype=torch.bool)
        for found in self.sums.values():
            low, high = found.amin(), found.amax()
            kept = kept.to(found.device) | ((found - low) > self.threshold * (high - low))
        return kept.float()
