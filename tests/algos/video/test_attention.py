"""Opened attention is the attention of diffusers; columns are those of the whole map."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from algos.video.attention import Site, columns, opened, scores, sites, tapped
from algos.video.models import VideoModel
from tests.algos.video import small

MODELS = (small.dit, small.unet, small.cogvideox)


class Watching:
    """Changes nothing."""

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def projections(self, site: Site, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        return queries, keys

    def probabilities(self, site: Site, found: Tensor) -> Tensor:
        torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:-1]))
        self.shapes[site.name] = tuple(found.shape)
        return found


def _passed(model: VideoModel) -> Tensor:
    clip = small.clip().expand(2, -1, -1, -1, -1)
    return model(clip, torch.tensor([400.0, 400.0]), model.text(["", small.SCENE.caption]))


@pytest.mark.parametrize("make", MODELS)
def test_opened_attention_computes_what_diffusers_does(make: Callable[[], VideoModel]) -> None:
    model, watching = make(), Watching()
    plain = _passed(model)
    with opened(model.backbone, watching):
        torch.testing.assert_close(_passed(model), plain, rtol=1e-4, atol=1e-5)
    assert watching.shapes.keys() == sites(model.backbone).keys()
    assert torch.equal(_passed(model), plain)  # put back


@pytest.mark.parametrize("make", MODELS)
def test_tapping_changes_no_value(make: Callable[[], VideoModel]) -> None:
    model, seen = make(), []
    plain = _passed(model)
    with tapped(model.backbone, lambda site, queries, keys: seen.append(site.kind)):
        assert torch.equal(_passed(model), plain)
    assert seen
    assert set(seen) <= {"cross", "joint"}


@pytest.mark.parametrize("text", [0, 8])
def test_columns_are_those_of_the_whole_map(text: int) -> None:
    """Chunks of queries, without the map, against the softmax of everything."""
    draw = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(2, 3, count, 16, generator=draw) for count in (2100 + text, 40))
    whole = scores(queries, keys).softmax(-1)[:, :, text:, [2, 5]].sum(-1).mean(1)
    torch.testing.assert_close(columns(queries, keys, [2, 5], text), whole)


def test_kinds_of_attention() -> None:
    kinds = [site.kind for site in sites(small.unet().backbone).values()]
    assert kinds.count("cross") == kinds.count("self") == 7  # 1 + 1 down, 1 between, 2 + 2 up
    assert kinds.count("temporal") == 2 * 8  # and one where the frames come in
    assert {site.kind for site in sites(small.cogvideox().backbone).values()} == {"joint"}
