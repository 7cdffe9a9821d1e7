"""What every editor is asked: a clip, what it shows, what it shall show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.video.models import VideoModel
from sim.errors import InputError, nearest


@dataclass(frozen=True)
class Edit:
    """An edit.

    Attributes:
        source, target: prompts of the clip as it is and as it shall be.
        words: whose place the mask is taken from, in the source prompt; by default those that the target changes.
        mask: bool [frames, height, width], where the clip may change, in place of any found mask.
    """

    source: str
    target: str
    words: tuple[str, ...] = ()
    mask: Tensor | None = None

    def check(self, model: VideoModel, clip: Tensor) -> None:
        """
        Raises:
            InputError: equal prompts, a clip of another length or shape, a word that is not in the source prompt, or a
                mask of another size.
        """
        if model.text.split(self.source) == model.text.split(self.target):
            problem = "is the source prompt"
            raise InputError("--target", self.target, problem, "say what shall be different in the clip")
        if clip.ndim != 5 or len(clip) != 1:
            raise InputError(
                "clip", list(clip.shape), "is no clip", "give [1, channels, frames, height, width]"
            )
        frames = clip.shape[2]
        if frames < model.frames:
            problem = f"has {frames} frames, and the model {model.frames}"
            raise InputError("clip", list(clip.shape), problem, f"give at least {model.frames} frames")
        for word in self.words:
            if word not in model.text.split(self.source):
                known = model.text.split(self.source)
                raise InputError("--word", word, f"is not in '{self.source}'", nearest(word, known))
        if self.mask is not None and self.mask.shape != clip.shape[2:]:
            problem = f"is of another size than the clip, {list(clip.shape[2:])}"
            raise InputError(
                "--mask", list(self.mask.shape), problem, "give a mask a frame, as large as the clip"
            )

    def changed(self, model: VideoModel) -> tuple[list[int], list[int]]:
        """Places of the tokens that differ, in the source and in the target prompt."""
        source, target = model.text.split(self.source), model.text.split(self.target)
        blocks = SequenceMatcher(None, source, target, autojunk=False).get_opcodes()
        first = [place for kind, a, b, _, _ in blocks if kind != "equal" for place in range(a, b)]
        second = [place for kind, _, _, a, b in blocks if kind != "equal" for place in range(a, b)]
        return first, second

    def places(self, model: VideoModel) -> list[int]:
        """Tokens of the source prompt whose place is masked: `words`, else those that change, else all."""
        split = model.text.split(self.source)
        if self.words:
            return [place for place, word in enumerate(split) if word in self.words]
        return self.changed(model)[0] or list(range(len(split)))

    def text(self, model: VideoModel, side: str, reinforced: str = "none", amplitude: float = 1.0) -> Tensor:
        """[1, tokens, channels] of the source or target prompt or of "none"; edited words may be amplified."""
        if side == "none":
            return model.text([""])
        source = side == "source"
        found = model.text([self.source if source else self.target])
        if reinforced == side:
            factors = torch.ones(found.shape[1], 1, device=found.device)
            factors[self.changed(model)[0 if source else 1]] = amplitude
            found = found * factors
        return found

    def with_mask(self, mask: Tensor | None) -> Edit:
        return replace(self, mask=mask)

    def on(self, shape: torch.Size) -> Edit:
        """With its mask on a grid of latents [n, channels, frames, height, width]: inside where any pixel is."""
        if self.mask is None or self.mask.shape == shape[2:]:
            return self
        shrunk = F.adaptive_max_pool3d(self.mask[None, None].float(), list(shape[2:]))
        return self.with_mask(shrunk[0, 0] > 0)
