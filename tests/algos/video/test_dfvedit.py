"""The loop of DFVEdit: what it leaves alone, what it never does, its bad input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from algos.video import dfvedit, guidance
from algos.video.dfvedit import DfvEditConfig
from algos.video.edits import Edit
from algos.video.models import VideoModel
from sim.errors import InputError
from tests.algos.video import small

QUICK = DfvEditConfig(steps=4)
PLAIN = replace(QUICK, attention=False)


@pytest.mark.parametrize("model", [small.dit, small.unet, small.cogvideox])
def test_nothing_changes_where_source_and_target_agree(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: equal weights of guidance, no reinforcement; equal prompts are refused at the door."""
    monkeypatch.setattr(Edit, "check", lambda *_: None)
    same = Edit(small.SCENE.caption, small.SCENE.caption)
    config = replace(PLAIN, target_scale=QUICK.source_scale, reinforce="none")
    clip = small.clip()
    assert torch.equal(dfvedit.edit(model(), clip, same, config), clip)


@pytest.mark.parametrize("inside", [0.0, 1.0])
def test_a_mask_of_nothing_is_the_source_and_one_of_everything_the_edit(inside: float) -> None:
    clip, model = small.clip(), small.dit()
    task = small.TASK.with_mask(torch.full((8, 16, 16), bool(inside)))
    expected = dfvedit.edit(model, clip, small.TASK, PLAIN) if inside else clip
    assert torch.equal(dfvedit.edit(model, clip, task, QUICK), expected)


def test_outside_the_mask_the_clip_is_the_source() -> None:
    mask = torch.zeros(8, 16, 16, dtype=torch.bool)
    mask[:, 4:9, 3:] = True
    clip = small.clip()
    found = dfvedit.edit(small.dit(), clip, small.TASK.with_mask(mask), QUICK)
    changed = (found != clip)[0].any(0)
    assert torch.equal(changed, mask)


def test_a_mask_waits_as_long_as_it_is_told() -> None:
    """Released code: strictly more than `mask_apply_after_step`, so that 0 leaves the first iteration unmasked."""
    clip, model = small.clip(), small.dit()
    task = small.TASK.with_mask(torch.zeros(8, 16, 16, dtype=torch.bool))
    assert not torch.equal(dfvedit.edit(model, clip, task, replace(QUICK, mask_after=0)), clip)
    late = dfvedit.edit(model, clip, task, replace(QUICK, mask_after=100))
    assert torch.equal(late, dfvedit.edit(model, clip, small.TASK, PLAIN))


def test_no_inversion_and_no_stored_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pass is of source or target at a level after the first, two clips a pass; N x words values are kept."""
    model, calls, kept = small.dit(), [], []
    forward = VideoModel.forward

    def traced(self: VideoModel, clips: Tensor, times: Tensor, text: Tensor) -> Tensor:
        calls.append((len(clips), float(times[0])))
        return forward(self, clips, times, text)

    monkeypatch.setattr(VideoModel, "forward", traced)
    mask = guidance.WordMaps.mask

    def noted(self: guidance.WordMaps) -> Tensor:
        kept.append([each.numel() for each in self.sums.values()])
        return mask(self)

    monkeypatch.setattr(guidance.WordMaps, "mask", noted)
    config = DfvEditConfig(steps=50)
    dfvedit.edit(model, small.clip(), small.TASK, config)
    assert len(calls) == 49 * 2  # passes of one clip: 196
    assert {batch for batch, _ in calls} == {2}
    times = [time for _, time in calls]
    assert times == sorted(times, reverse=True)  # an inversion would rise
    assert times[0] < 999
    assert (
        kept[-1] == [8 * 16 * 16] * 2
    )  # a value a pixel for source and target words, after 49 iterations too


def test_reinforcement_amplifies_the_edited_words_alone() -> None:
    model = small.dit()
    plain = small.TASK.text(model, "target")
    found = small.TASK.text(model, "target", "target", 2.0)
    assert torch.equal(found[0, 1], 2 * plain[0, 1])  # blue
    assert torch.equal(found[0, [0, 2, 3, 4, 5, 6, 7]], plain[0, [0, 2, 3, 4, 5, 6, 7]])
    assert torch.equal(small.TASK.text(model, "source", "target", 2.0), small.TASK.text(model, "source"))
    released = small.TASK.text(model, "source", "source", 2.0)
    assert torch.equal(released[0, 1], 2 * small.TASK.text(model, "source")[0, 1])  # red


@pytest.mark.parametrize(
    ("task", "named"),
    [
        (Edit("a red disc", "A red  disc"), "--target"),
        (replace(small.TASK, words=("cross",)), "--word"),
        (small.TASK.with_mask(torch.zeros(8, 8, 8, dtype=torch.bool)), "--mask"),
        (Edit("a red disc", "a purple disc"), "prompt"),
    ],
)
def test_bad_tasks_are_named(task: Edit, named: str) -> None:
    with pytest.raises(InputError) as refused:
        dfvedit.edit(small.dit(), small.clip(), task, QUICK)
    assert refused.value.field == named
    assert refused.value.fix


def test_a_clip_too_short_is_named() -> None:
    with pytest.raises(InputError, match="6 frames"):
        dfvedit.edit(small.dit(), small.clip()[:, :, :6], small.TASK, QUICK)


@pytest.mark.parametrize(("field", "value"), [("reinforce", "both"), ("threshold", 1.0), ("steps", 1)])
def test_bad_settings_are_named(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=field):
        dfvedit.edit(small.dit(), small.clip(), small.TASK, replace(PLAIN, **{field: value}))
