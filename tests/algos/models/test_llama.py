"""The decoder against that of transformers."""

from __future__ import annotations

import pytest
import torch

from algos.models.llama import Llama, Shape
from sim.errors import InputError

SMALL = Shape(vocabulary=32, dim=48, blocks=2, heads=4, kv_heads=2, hidden=40, context=16)


@torch.no_grad()
def test_transformers_has_the_same_outputs_of_the_same_weights():
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=48,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    ours, theirs = Llama(SMALL).eval(), transformers.LlamaForCausalLM(config).eval()
    theirs.load_state_dict(ours.state_dict())
    tokens = torch.randint(32, (3, 16))
    torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_token_sees_those_before_it_alone():
    torch.manual_seed(0)
    module = Llama(SMALL).eval()
    tokens = torch.randint(32, (1, 12))
    other = tokens.clone()
    other[0, 7] += 1
    before, after = module(tokens), module(other % 32)
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert (before[:, 7:] != after[:, 7:]).any(-1).all()
    torch.testing.assert_close(module(tokens[:, :5]), before[:, :5])


@pytest.mark.parametrize(
    ("sizes", "named"), [({"dim": 50}, "dim = 50"), ({"heads": 3, "kv_heads": 2, "dim": 48}, "heads = 3")]
)
def test_sizes_that_do_not_fit(sizes, named):
    with pytest.raises(InputError, match=named):
        Shape(**sizes)


def test_a_window_longer_than_the_context():
    with pytest.raises(InputError, match="tokens = 17: the context has 16"):
        Llama(SMALL)(torch.zeros(1, 17, dtype=torch.int64))
