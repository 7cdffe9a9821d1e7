"""Rotations against the unrotated decoder, ours and that of transformers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from algos.compensation.rotation import ONLINE, PARTS, hadamard, rotate
from algos.models.llama import Llama, Shape
from sim.errors import InputError

SMALL = Shape(vocabulary=32, dim=48, blocks=2, heads=4, kv_heads=2, hidden=40, context=16)


def ours() -> nn.Module:
    return Llama(SMALL)


def theirs() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=32,
        hidden_size=48,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        attention_bias=True,
    )
    return transformers.LlamaForCausalLM(config)


def logits(module: nn.Module, tokens: Tensor) -> Tensor:
    found = module.double()(tokens)
    return found if isinstance(found, Tensor) else found.logits


def begun(build) -> nn.Module:
    """With gains and biases that are not what they begin with."""
    torch.manual_seed(3)
    module = build().eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.normal_(1.0, 0.3)
    return module


@pytest.mark.parametrize("size", [1, 2, 12, 20, 28, 32, 36, 64, 192, 576, 3584])
def test_rows_of_signs_are_orthogonal(size):
    found = hadamard(size)
    assert found.abs().eq(1).all()
    assert (found @ found.T).equal(size * torch.eye(size, dtype=torch.float64))


@pytest.mark.parametrize("build", [ours, theirs])
@pytest.mark.parametrize("parts", [PARTS, ("stream",), ("values",)])
@torch.no_grad()
def test_outputs_stay_and_weights_turn(build, parts):
    module = begun(build).double()
    tokens = torch.randint(32, (2, 9))
    before = logits(module, tokens)
    kept = {name: value.clone() for name, value in module.named_parameters()}
    rotate(module, parts, seed=1)
    close = 1e-10 if build is ours else 1e-6  # transformers norms in float32
    torch.testing.assert_close(logits(module, tokens), before, rtol=close, atol=close)
    changed = [name for name, value in module.named_parameters() if not value.equal(kept.get(name, value))]
    values = [name for name in changed if name.endswith("self_attn.o_proj.weight")]
    assert len(values) == 2
    assert ("model.embed_tokens.weight" in changed) == ("stream" in parts)


@torch.no_grad()
def test_outliers_are_spread():
    """What a rotation is for: one large channel of the stream becomes many small ones."""
    module = begun(ours)
    module.model.embed_tokens.weight[:, 5] *= 100
    before = module.model.embed_tokens.weight.abs().amax(1) / module.model.embed_tokens.weight.norm(dim=1)
    rotate(module)
    after = module.model.embed_tokens.weight.abs().amax(1) / module.model.embed_tokens.weight.norm(dim=1)
    assert (after < 0.6 * before).all()


@pytest.mark.parametrize("part", ONLINE)
def test_what_does_not_fuse_is_refused_with_the_reason(part):
    with pytest.raises(InputError, match=r"does not fuse into weights: .*stand"):
        rotate(ours(), [part])


def test_mistakes_are_named():
    with pytest.raises(InputError, match=r"rotation = 'steam': unknown.*stream"):
        rotate(ours(), ["steam"])
    with pytest.raises(InputError, match="no decoder of the Llama family"):
        rotate(nn.Sequential(nn.Linear(4, 4)))
    with pytest.raises(InputError, match="no Hadamard matrix of this width"):
        rotate(Llama(Shape(vocabulary=8, dim=14, blocks=1, heads=1, kv_heads=1, hidden=16, context=8)))
    normed = ours()
    normed.model.layers[0].input_layernorm = nn.LayerNorm(48)
    with pytest.raises(InputError, match="LayerNorm does not commute"):
        rotate(normed)
