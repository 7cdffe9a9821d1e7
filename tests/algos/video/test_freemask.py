"""FreeMask: what is stored, what is fused, masks and their cost; SDEdit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from algos.video import freemask, sdedit
from algos.video.attention import Site, opened, sites
from algos.video.edits import Edit
from algos.video.freemask import MANNERS, FreeMaskConfig, Fusion, GivenMask, mapping
from algos.video.masks import CodeTable, binarized, matching_costs, miou, word_map
from algos.video.models import VideoModel
from algos.video.process import levels, parts
from algos.video.store import Rows, Step, Store, denoised, inverted
from sim.errors import InputError
from tests.algos.video import small
from tests.algos.video.gaussian import at, pair

QUICK = FreeMaskConfig(steps=4, masks="fixed")


def _stored(paired: bool = False) -> Store:
    model, store = small.unet(), Store(paired=paired)
    inverted(model, small.clip(), small.TASK.text(model, "source"), levels(model, 4), store)
    return store


def test_stored_bytes_of_a_step_are_the_formula() -> None:
    """By hand, of channels (8, 16), heads of 8, 8 frames, 8 tokens: sequences x heads x queries x keys, 2 bytes."""
    frames, tokens = 8, 8
    levels_of = {64: (1, 1 + 2), 16: (2, 1 + 1 + 2)}  # places -> heads; layers down, between, up
    maps = 0
    for places, (heads, layers) in levels_of.items():
        within = frames * heads * places * (places + tokens)
        over_time = 2 * places * heads * frames * frames  # both attentions of a layer look over time
        maps += layers * (within + over_time)
    maps += 2 * 64 * 8 * frames * frames  # where frames come in: 8 heads
    store = _stored(paired=True)
    assert {step.map_bytes for step in store.steps} == {2 * maps}
    channels = 3 * 8 * 64 * 2 + 4 * 16 * 16 * 2 + 2 * 64 * 64  # layers x width x places x attentions
    assert {step.pair_bytes for step in store.steps} == {2 * 2 * frames * channels}
    assert store.bytes == 4 * (2 * maps + 4 * frames * channels)


def test_maps_of_many_queries_are_not_stored() -> None:
    store = Store()
    store.steps.append(Step())
    store.probabilities(Site("a.attn1", "self"), torch.zeros(1, 1, 2049, 2))
    store.probabilities(Site("b.attn1", "self"), torch.zeros(1, 1, 2048, 2))
    assert list(store.steps[0].maps) == ["b.attn1"]


@given(st.integers(1, 9), st.sampled_from([8, 4]), st.integers(0, 99))
def test_rows_in_few_bits_are_within_half_a_level(keys: int, bits: int, seed: int) -> None:
    found = (4 * torch.randn(2, 3, 5, keys, generator=torch.Generator().manual_seed(seed))).softmax(-1)
    kept = Rows.of(found, bits)
    most = found.amax(-1, keepdim=True)
    assert ((kept.float() - found).abs() <= most * (0.5 / (2**bits - 1) + 2**-10)).all()  # a float16 scale
    assert kept.nbytes == -(-30 * keys * bits // 8) + 2 * 30


def test_maps_in_few_bits_are_smaller_and_edit_nearly_the_same() -> None:
    model, clip = small.unet(), small.clip()
    plain, few = (freemask.fused(model, clip, small.TASK, replace(QUICK, bits=bits)) for bits in (16, 8))
    assert few[1].bytes < 0.7 * plain[1].bytes  # a scale a query is much of rows of 8 keys
    assert float((plain[0] - few[0]).norm()) < 0.01 * float(plain[0].norm())
    with pytest.raises(InputError, match="--bits"):
        FreeMaskConfig(bits=5)  # type: ignore[arg-type]


def _layer(store: Store, kind: str) -> tuple[Site, Tensor]:
    """The first layer of a kind, and its map of the last step of the inversion."""
    site = next(site for site in sites(small.unet().backbone).values() if site.kind == kind)
    return site, store.steps[3].maps[site.name].float()


def _fused(inside: bool, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """What fusion makes of the edit's probabilities; these; the stored ones."""
    store = _stored()
    site, stored = _layer(store, kind)
    edited = torch.rand(stored.shape).softmax(-1)
    mask = GivenMask(torch.full((8, 16, 16), inside))
    fusion = Fusion(store, 0, mask, MANNERS["attribute"], mapping(small.unet(), small.TASK, 8), 1.0)
    found = fusion.probabilities(site, torch.cat([torch.zeros_like(edited), edited]))
    assert not found[: len(edited)].any()  # the half without a prompt stays
    return found[len(edited) :], edited, stored


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_mask_of_nothing_takes_the_source_and_of_everything_the_edit(kind: str) -> None:
    found, _, stored = _fused(False, kind)
    assert torch.equal(found, stored)
    found, edited, _ = _fused(True, kind)
    assert torch.equal(found, edited)


def test_rows_of_fused_self_attention_sum_to_one() -> None:
    store = _stored()
    site, stored = _layer(store, "self")
    edited = torch.rand(stored.shape).softmax(-1)
    fusion = Fusion(
        store, 0, GivenMask(torch.rand(8, 16, 16) > 0.7), MANNERS["attribute"], torch.arange(8), 1.0
    )
    found = fusion.probabilities(site, torch.cat([edited, edited]))
    torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:-1]), rtol=0, atol=1e-3)  # float16 maps


def test_over_time_the_source_stays_inside_the_mask() -> None:
    """The other way round than maps: K and Q are the source's where M is 1."""
    store = _stored(paired=True)
    name, (queries, keys) = next(iter(store.steps[3].pairs.items()))
    edited = torch.zeros_like(queries).float()
    both = torch.cat([edited, edited])
    for inside, expected in ((True, queries.float()), (False, edited)):
        mask = GivenMask(torch.full((8, 16, 16), inside))
        fusion = Fusion(store, 0, mask, MANNERS["shape"], torch.arange(8), 1.0)
        found, _ = fusion.projections(Site(name, "temporal"), both, torch.cat([keys, keys]).float())
        assert torch.equal(found[len(edited) :], expected)


@pytest.mark.parametrize("inside", [False, True])
def test_with_blending_the_clip_is_the_source_or_the_edit_to_the_bit(inside: bool) -> None:
    clip, model = small.clip(), small.unet()
    task = small.TASK.with_mask(torch.full((8, 16, 16), inside))
    found = freemask.edit(model, clip, task, replace(QUICK, blend=True))
    assert torch.equal(found, freemask.edit(model, clip, task, QUICK) if inside else clip)


def test_without_an_edit_the_way_back_ends_at_the_source() -> None:
    """On a model in closed form: the error of inversion and denoising falls with the number of steps."""
    prompt, _ = pair()

    class Model(VideoModel):
        def forward(self, noisy: Tensor, times: Tensor, text: Tensor) -> Tensor:
            return prompt.parts(noisy, next(level for level in path if level.time == float(times[0]))).noise

    model = Model(nn.Identity(), nn.Identity(), "noise", frames=2)
    clip, errors = prompt.on_the_way(torch.randn(1, 1, 2, 2, 3, dtype=torch.float64), at(0)), []
    for count in (25, 50, 100):
        path = levels(model, count)
        noisy = inverted(model, clip, clip, path)[-1]
        back = denoised(noisy, path, lambda _, x, level, after: after.of(*parts(model, x, level, clip)))
        errors.append(float((back - clip).abs().mean()))
    assert errors[0] > 1.6 * errors[1] > 2.5 * errors[2]
    assert errors[2] < 0.05 * float(clip.abs().mean())


def test_prompts_of_as_many_words_map_by_place_and_others_by_what_they_share() -> None:
    model = small.unet()
    assert mapping(model, small.TASK, 8).tolist() == list(range(8))
    # a red disc moves left over sand -> a blue disc moves over sand
    assert mapping(model, small.LONGER, 8).tolist() == [0, -1, 2, 3, 5, 6, -1, 7]


def test_miou_of_known_masks() -> None:
    """Derived in the paper file."""
    half = torch.zeros(2, 4, 4, dtype=torch.bool)
    half[:, :2] = True
    assert miou(half, half) == 1
    assert miou(torch.zeros_like(half), half) == 0.25
    assert miou(~half, half) == 0


@given(st.lists(st.booleans(), min_size=24, max_size=24), st.lists(st.booleans(), min_size=24, max_size=24))
def test_miou_is_symmetric_in_masks_and_classes(a: list[bool], b: list[bool]) -> None:
    first, second = torch.tensor(a), torch.tensor(b)
    assert miou(first, second) == miou(second, first) == pytest.approx(miou(~first, ~second))
    assert 0 <= miou(first, second) <= 1


def test_masks_of_known_maps() -> None:
    """Derived in the paper file: a peak grows to 3x3, a uniform map is all ones; an empty frame is empty."""
    maps = torch.zeros(3, 7, 7)
    maps[0, 3, 4], maps[1] = 1, 0.2
    found = binarized(maps, (7, 7))
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[2:5, 3:6] = True
    assert torch.equal(found[0], expected)
    assert found[1].all()
    assert not found[2].any()


def test_word_map_sums_words_and_averages_heads() -> None:
    found = torch.arange(2 * 3 * 8 * 4).reshape(2, 3, 8, 4).float()
    expected = (found[..., 1] + found[..., 3]).mean(1).reshape(2, 2, 4)
    torch.testing.assert_close(word_map(found, [1, 3], ratio=0.5), expected)


def test_code_table_takes_the_least_cost() -> None:
    truth = torch.zeros(2, 4, 4, dtype=torch.bool)
    truth[:, 1:4, 1:4] = True
    peak = torch.zeros(2, 1, 16, 2)
    peak[:, :, 2 * 4 + 2, 1] = 1  # 3x3 around it is the object
    flat = torch.ones(2, 1, 16, 2)
    costs = matching_costs([{"good": flat, "bad": flat}, {"good": peak, "bad": flat}], [1], truth, 0.3)
    assert costs[0].tolist() == [pytest.approx(1 - 18 / 32 / 2), 0]
    table = CodeTable(("bad", "good"), (tuple(costs[1].tolist()), tuple(costs[0].tolist())), 1, 0.3)
    assert table.layer == "good"
    assert [table.step(count) for count in (2, 10, 50)] == [1, 7, 37]


def test_sdedit_of_a_mask_leaves_the_rest() -> None:
    clip, model = small.clip(), small.dit()
    nothing = small.TASK.with_mask(torch.zeros(8, 16, 16, dtype=torch.bool))
    assert torch.equal(sdedit.edit(model, clip, nothing, sdedit.SdEditConfig(steps=3)), clip)
    assert not torch.equal(sdedit.edit(model, clip, small.TASK, sdedit.SdEditConfig(steps=3)), clip)


def test_injection_runs_on_a_transformer() -> None:
    found = freemask.edit(small.dit(), small.clip(), small.TASK, replace(QUICK, masks="none"))
    assert found.isfinite().all()


def test_chosen_masks_need_a_table_and_names_are_checked() -> None:
    with pytest.raises(InputError, match="--masks"):
        freemask.edit(small.unet(), small.clip(), small.TASK, replace(QUICK, masks="chosen"))
    with pytest.raises(InputError, match="--manner"):
        FreeMaskConfig(manner="stile")
    with pytest.raises(InputError, match="--target"):
        freemask.edit(small.unet(), small.clip(), Edit("a red disc", "a red disc"), QUICK)


def test_opening_for_fusion_leaves_the_model_as_it_was() -> None:
    model = small.unet()
    before = dict(model.backbone.attn_processors)
    with opened(model.backbone, Store()):
        pass
    assert dict(model.backbone.attn_processors) == before
