"""Folders of real pipelines, here with random weights: prompt, autoencoder, mask and edit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from algos.video import dfvedit, pipelines
from algos.video.edits import Edit
from codeword.editing import edit
from sim.errors import InputError

TASK = Edit("a red disc", "a blue disc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Wan pipeline as diffusers saves it."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("wan")
    words = {word: number for number, word in enumerate(["<pad>", "<unk>", "a", "red", "blue", "disc"])}
    tokens = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", unk_token="<unk>")
    tokenizer.save_pretrained(place / "tokenizer")
    sizes = UMT5Config(vocab_size=8, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    UMT5EncoderModel(sizes).save_pretrained(place / "text_encoder")
    WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, text_dim=16, freq_dim=16, ffn_dim=16, num_layers=1
    ).save_pretrained(place / "transformer")
    AutoencoderKLWan(base_dim=3, dim_mult=[1, 1, 1, 1], num_res_blocks=1).save_pretrained(place / "vae")
    return place


def test_edits_with_a_folder(folder: Path) -> None:
    clip = torch.rand(1, 3, 5, 32, 32) * 2 - 1
    mask = torch.zeros(5, 32, 32, dtype=torch.bool)
    mask[:, :16] = True
    found = edit(
        clip, source=TASK.source, target=TASK.target, model=str(folder), mask=mask, settings=["steps=3"]
    )
    assert found.clip.shape == clip.shape
    assert found.calls == (2, 2, 2, 2)
    model = pipelines.load(folder)
    latents = model.encoded(clip)
    assert latents.shape == (1, 16, 2, 4, 4)
    task = Edit(TASK.source, TASK.target, mask=mask).on(latents.shape)
    assert task.mask is not None
    assert task.mask.sum() == 2 * 2 * 4  # upper half of the latents
    edited = dfvedit.edit(model, latents, task, dfvedit.DfvEditConfig(steps=3))
    assert torch.equal((edited != latents)[0].any(0), task.mask)


def test_masks_come_from_the_attention_of_a_folder(folder: Path) -> None:
    model = pipelines.load(folder, torch.float32)
    latents = model.encoded(torch.rand(1, 3, 5, 32, 32) * 2 - 1)
    found = dfvedit.edit(model, latents, TASK, dfvedit.DfvEditConfig(steps=3))
    assert found.isfinite().all()
    assert not torch.equal(found, latents)


def test_padding_is_no_prompt(folder: Path) -> None:
    model = pipelines.load(folder, torch.float32)
    text = model.text(["a red disc"])
    assert text.shape == (1, 512, 16)
    assert text[0, :3].any(1).all()
    assert not text[0, 3:].any()
    assert model.text.split("A red disc") == ["<unk>", "red", "disc"]  # as its tokenizer has them


def test_other_folders_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="save_pretrained"):
        pipelines.load(tmp_path)
    for part in ("vae", "text_encoder"):
        (tmp_path / part).symlink_to(folder / part)
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}')
    with pytest.raises(InputError, match="is no known backbone"):
        pipelines.load(tmp_path)
