"""Networks of a folder: text conditions that work with guidance, and what is missing is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from algos.diffusion import Sampler
from algos.diffusion.folder import load_folder, read_prompts
from sim.errors import InputError
from tests.algos.diffusion.small import noise, text_unet, unet

transformers = pytest.importorskip("transformers")
SCHEDULER = {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "skip_prk_steps": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As Stable Diffusion's, with a text encoder of width 8 and a vocabulary of letters."""
    text_unet().save_pretrained(tmp_path / "unet")
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    tokens = ["<|startoftext|>", "<|endoftext|>", *"abcdefgh", *(f"{letter}</w>" for letter in "abcdefgh")]
    vocabulary = tmp_path / "vocabulary"
    vocabulary.mkdir()
    (vocabulary / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (vocabulary / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(
        str(vocabulary / "vocab.json"), str(vocabulary / "merges.txt"), model_max_length=6
    )
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=6,
        eos_token_id=1,
        bos_token_id=0,
    )
    transformers.CLIPTextModel(config).save_pretrained(tmp_path / "text_encoder")
    return tmp_path


def test_prompts_steer_the_pictures(folder: Path) -> None:
    found = load_folder(folder)
    assert found.settings == {"beta_schedule": "scaled_linear"}
    one, two = found.condition(["a b", "c"]), found.condition(["a b", "d"])
    assert one.text.shape == (2, 6, 8)
    sampler = Sampler("dpm-solver", 3, 7.5, found.settings)
    pictures = [sampler.run(found.model, noise(2, 2), condition) for condition in (one, two)]
    assert torch.equal(pictures[0][0], pictures[1][0])
    assert not torch.equal(pictures[0][1], pictures[1][1])


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer", "scheduler", "unet"])
def test_a_part_that_is_missing(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    with pytest.raises(InputError, match=part):
        load_folder(folder)


def test_two_encoders_and_none(folder: Path, tmp_path: Path) -> None:
    (folder / "text_encoder_2").mkdir()
    with pytest.raises(InputError, match="two encoders"):
        load_folder(folder)
    shutil.rmtree(folder / "unet")
    unet().save_pretrained(folder / "unet")
    with pytest.raises(InputError, match="reads no text"):
        load_folder(folder).condition(["a"])


def test_prompts_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a coat\n\n  a shoe \n")
    assert read_prompts(path) == ["a coat", "a shoe"]
    path.write_text("\n \n")
    with pytest.raises(InputError, match=r"prompts.*is empty"):
        read_prompts(path)
    with pytest.raises(InputError, match=r"prompts.*No such file"):
        read_prompts(tmp_path / "none.txt")
