"""`codeword edit`: on the shipped models in few steps, and its bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from algos.data import shapes
from tests.codeword.conftest import Command
from tests.codeword.test_bad_input import assert_refused

pytest.importorskip("diffusers")

SOURCE, TARGET = "a red disc moves left over sand", "a blue disc moves left over sand"
PROMPTS = ("--source", SOURCE, "--target", TARGET)


@pytest.mark.parametrize(("method", "passes"), [("dfvedit", 4 * 3), ("freemask", 3 * 4), ("sdedit", 2 * 2)])
def test_edits_a_made_clip(codeword: Command, tmp_path: Path, method: str, passes: int) -> None:
    out = tmp_path / "edit.npy"
    result = codeword(
        "edit", "shapes:3", *PROMPTS, "--method", method, "--set", "steps=4", "-o", out, "--json"
    )
    assert result.status == 0, result.err
    fields = json.loads(result.out)
    assert (fields["passes"], fields["settings"]["steps"]) == (passes, 4)
    edited = np.load(out)
    assert (edited.dtype, edited.shape) == (np.uint8, (8, 16, 16, 3))


def test_outside_a_mask_of_ones_own_the_clip_stays(codeword: Command, tmp_path: Path) -> None:
    """A clip and a mask from files; what is longer than the model's clips is cut."""
    clip = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3)).astype(np.uint8)
    mask = np.zeros((10, 16, 16), bool)
    mask[:, 4:8] = True
    np.save(tmp_path / "clip.npy", clip)
    np.save(tmp_path / "mask.npy", mask)
    out = tmp_path / "edit.npy"
    words = ("--mask", tmp_path / "mask.npy", "--set", "steps=3", "-o", out)
    assert codeword("edit", tmp_path / "clip.npy", *PROMPTS, *words).status == 0
    changed = (np.load(out) != clip[:8]).any(3)
    assert changed.any()
    assert not (changed & ~mask[:8]).any()


def test_pictures_show_source_and_edit(codeword: Command, tmp_path: Path) -> None:
    for name, size, frames in (("a.png", (8 * 17 * 4, 2 * 17 * 4), 1), ("a.gif", (16, 16), 8)):
        assert codeword("edit", "shapes", *PROMPTS, "--set", "steps=3", "-o", tmp_path / name).status == 0
        with Image.open(tmp_path / name) as picture:
            assert picture.size == size
            assert getattr(picture, "n_frames", 1) == frames


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("shapes", "--source", SOURCE, "--target", SOURCE), "is the source prompt"),
        (("shapes", *PROMPTS, "--word", "square"), "is not in"),
        (("shapes", *PROMPTS, "--method", "dfvedits"), "dfvedit"),
        (("shapes", *PROMPTS, "--set", "step=3"), "steps"),
        (("shapes", *PROMPTS, "--set", "attention=maybe"), "yes"),
        (("shapes", *PROMPTS, "--set", "steps=few"), "is no int"),
        (("shapes", *PROMPTS, "--model", "vit"), "dit"),
        (("shapes:x", *PROMPTS), "shapes:7"),
        (("missing.npy", *PROMPTS), "missing.npy"),
        (("shapes", "--source", "a red disc", "--target", TARGET), "motion"),
    ],
)
def test_bad_input_is_named(codeword: Command, tmp_path: Path, words: tuple[str, ...], named: str) -> None:
    assert_refused(codeword("edit", *words, "-o", tmp_path / "x.npy"), named)


def test_clips_and_masks_of_other_sizes_are_named(codeword: Command, tmp_path: Path) -> None:
    pixels = shapes.clip(shapes.scene_of(SOURCE)).pixels
    short = ((pixels[:, :5].permute(1, 2, 3, 0) + 1) * 127).byte().numpy()
    np.save(tmp_path / "short.npy", short)
    np.save(tmp_path / "mask.npy", np.ones((8, 8, 8), bool))
    np.save(tmp_path / "grey.npy", short[..., 0])
    for words, named in (
        ((tmp_path / "short.npy",), "5 frames"),
        ((tmp_path / "grey.npy",), "bytes [frames, height, width, 3]"),
        (("shapes", "--mask", tmp_path / "mask.npy"), "as large as the clip"),
        (("shapes", "--mask", tmp_path / "short.npy"), "booleans [frames, height, width]"),
    ):
        assert_refused(codeword("edit", *words, *PROMPTS, "-o", tmp_path / "x.npy"), named)
