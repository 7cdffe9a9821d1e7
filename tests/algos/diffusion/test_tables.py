"""Time tables: what the time layers say, bit for bit, and what depends on more is refused by name."""

from __future__ import annotations

import copy

import pytest
import torch

from algos.diffusion import Condition, Sampler, tabulate, time_path
from algos.diffusion.tables import heads
from sim.errors import InputError
from tests.algos.diffusion.small import LINEAR, SAMPLER, call, clock, dit, labelled, noise, text_unet, unet

COUNT = 8


def test_pictures_of_a_unet_with_classes_are_the_same_bits() -> None:
    model = unet()
    tabled = copy.deepcopy(model)
    found = tabulate(tabled, clock(), call, batch=COUNT)
    for sampler in (SAMPLER, Sampler("ddim", 4, 2.5, LINEAR)):
        size = COUNT if sampler.guidance == 1 else COUNT // 2  # guidance doubles the batch
        wanted = sampler.run(model, noise(size), labelled(size))
        assert torch.equal(sampler.run(tabled, noise(size), labelled(size)), wanted)
        assert wanted.std() > 0.01
    assert found.removed == sum(p.numel() for p in model.parameters()) - sum(
        p.numel() for p in tabled.parameters()
    )
    assert found.values == sum(table.rows.numel() for table in heads(tabled).values())
    assert not time_path(model).kept


def test_every_step_and_class_has_a_row_of_its_own() -> None:
    model = unet()
    tabulate(model, clock(), call, batch=COUNT)
    for table in heads(model).values():
        assert table.rows.shape[:2] == (4, 3)
        rows = table.rows.flatten(0, 1)
        assert len(rows.unique(dim=0)) == len(rows)


@pytest.mark.parametrize("make", [text_unet, dit])
def test_text_in_attention_and_adaptive_norms_do_not_stand_in_the_way(make) -> None:
    model = make()
    tabled = copy.deepcopy(model)
    tabulate(tabled, clock(), call, batch=COUNT)
    text = torch.randn(COUNT, 3, 8, generator=torch.Generator().manual_seed(1))
    condition = labelled(COUNT) if make is dit else Condition(text=text)
    wanted = SAMPLER.run(model, noise(COUNT, 2), condition)
    assert torch.equal(SAMPLER.run(tabled, noise(COUNT, 2), condition), wanted)
    assert not [name for name, _ in tabled.named_parameters() if "time_emb" in name or ".emb." in name]


def test_what_depends_on_text_and_size_stays_and_is_named() -> None:
    """As in Stable Diffusion XL: the network's first embedding of time becomes a table, its projections do not."""
    model = text_unet(
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=4 * 6 + 8,
    )
    with pytest.raises(InputError, match=r"add_embedding.*text_time.*time_emb_proj"):
        tabulate(copy.deepcopy(model), clock(), with_sizes, strict=True)
    tabled = copy.deepcopy(model)
    found = tabulate(tabled, clock(), with_sizes, batch=COUNT)
    assert list(heads(tabled)) == ["time_embedding"]
    assert any("time_emb_proj" in name for name in found.kept)
    added = {"text_embeds": torch.randn(COUNT, 8), "time_ids": torch.rand(COUNT, 6)}
    condition = Condition(text=torch.randn(COUNT, 3, 8), added=added)
    wanted = SAMPLER.run(model, noise(COUNT, 2), condition)
    assert torch.equal(SAMPLER.run(tabled, noise(COUNT, 2), condition), wanted)


def with_sizes(model, count, time, labels) -> None:
    added = {"text_embeds": torch.zeros(count, 8), "time_ids": torch.zeros(count, 6)}
    condition = Condition(text=torch.zeros(count, 3, 8), added=added)
    model(torch.zeros(count, 2, 8, 8), timestep=time.expand(count), **condition.arguments())


def test_a_step_that_has_no_row() -> None:
    model = unet()
    tabulate(model, clock(), call, batch=COUNT)
    with pytest.raises(InputError, match=r"time step.*was not calibrated.*sample at 750, 500, 250, 0"):
        SAMPLER.at(5).run(model, noise(2), labelled(2))


def test_a_network_of_another_kind() -> None:
    with pytest.raises(InputError, match="no known time path"):
        time_path(torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match="infinitely many"):
        time_path(unet(class_embed_type="timestep"))
