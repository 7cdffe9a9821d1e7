"""Clips of moving shapes: what they show is what they say."""

from __future__ import annotations

import pytest
import torch

from algos.data import shapes
from algos.data.shapes import HELD_OUT, SCENES, TRAINED, Scene, Shapes, captions, clip, scene_of
from sim.errors import InputError

SCENE = Scene("red", "disc", "left", "sand")


def test_a_clip_is_the_same_every_time() -> None:
    first, again = clip(SCENE, 5), clip(SCENE, 5)
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.mask, again.mask)
    assert not torch.equal(first.pixels, clip(SCENE, 6).pixels)
    assert first.pixels.shape == (3, 8, 16, 16)
    assert first.pixels.abs().max() <= 1
    # Of NumPy's generator, whose stream is fixed (NEP 19): the same on every machine.
    assert float(first.pixels.double().mean()) == pytest.approx(0.2512, abs=5e-5)


@pytest.mark.parametrize("scene", SCENES[::7])
def test_the_mask_is_where_the_colour_is(scene: Scene) -> None:
    found, other = clip(scene, 2), clip(scene.with_word("red" if scene.colour != "red" else "blue"), 2)
    changed = (found.pixels != other.pixels).any(0)
    assert torch.equal(found.mask, other.mask)
    assert (changed | ~found.mask).all()  # all of the mask changes with the colour
    assert changed.sum() < 2.2 * found.mask.sum()  # and little but its smoothed edge


@pytest.mark.parametrize(
    ("motion", "step"), [("left", (0, -1)), ("right", (0, 1)), ("up", (-1, 0)), ("down", (1, 0))]
)
def test_shapes_move_one_pixel_a_frame(motion: str, step: tuple[int, int]) -> None:
    for variation in range(20):
        mask = clip(SCENE.with_word(motion), variation).mask
        rolled = torch.stack([frame.roll(step, (0, 1)) for frame in mask[:-1]])
        inner = (
            slice(None),
            slice(1, -1),
            slice(1, -1),
        )  # at the border a shape may be cut by less than a pixel
        assert torch.equal(rolled[inner], mask[1:][inner])


def test_other_scenes_of_a_variation_differ_where_the_word_says() -> None:
    source, edited = clip(SCENE, 3), clip(SCENE.with_word("snow"), 3)
    assert torch.equal(source.mask, edited.mask)
    inner = -torch.nn.functional.max_pool2d(-source.mask[:, None].float(), 3, 1, 1)[:, 0] > 0  # not the edge
    assert torch.equal(source.pixels[:, inner], edited.pixels[:, inner])


def test_held_out_pairs_are_in_no_training_scene() -> None:
    assert len(TRAINED) == 192
    assert len(HELD_OUT) == 64
    pairs = [{(scene.colour, scene.form) for scene in some} for some in (TRAINED, HELD_OUT)]
    assert not pairs[0] & pairs[1]
    assert {pair[0] for pair in pairs[0]} == set(shapes.WORDS["colour"])  # every word is learned
    assert {pair[1] for pair in pairs[0]} == set(shapes.WORDS["form"])
    assert set(Shapes(40).scenes) <= set(TRAINED)


def test_captions_are_read_back() -> None:
    assert SCENE.caption == "a red disc moves left over sand"
    assert all(scene_of(scene.caption) == scene for scene in SCENES)
    data = Shapes(10)
    assert captions(data.labels) == [scene.caption for scene in data.scenes]
    assert torch.equal(data.pixels[4], clip(data.scenes[4], 1_004).pixels)


@pytest.mark.parametrize("caption", ["a red disc moves left", "a red red disc moves left over sand", ""])
def test_captions_of_no_scene_are_named(caption: str) -> None:
    with pytest.raises(InputError, match="caption"):
        scene_of(caption)


def test_words_of_no_scene_are_named() -> None:
    with pytest.raises(InputError, match="green"):
        SCENE.with_word("grean")
    with pytest.raises(InputError, match="motion"):
        Scene("red", "disc", "sideways", "sand")
