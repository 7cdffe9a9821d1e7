"""A decoder in integers: a prompt, and a token behind keys and values, on the engine and in the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import codeword
from algos import reference
from algos.frontend.calibrate import Activation
from algos.frontend.export import Quantized, quantize
from algos.methods.registry import METHODS
from algos.models.llama import Llama, Shape, Step, packed
from sim.errors import InputError
from sim.network import Int4Weight
from sim.network import run as run_integers

SHAPE = Shape(vocabulary=16, dim=32, blocks=2, heads=4, kv_heads=2, hidden=48, context=8)


def model() -> Llama:
    torch.manual_seed(0)
    made = Llama(SHAPE).eval()
    for parameter in made.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return made


def tokens(count: int, length: int) -> torch.Tensor:
    return torch.randint(16, (count, length), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_step_behind_a_cache_is_the_last_token_of_a_prompt():
    net = model()
    for length in (1, 2, 8):
        given = tokens(3, length)
        logits, *new = Step(net, length - 1)(packed(net, given))
        torch.testing.assert_close(logits[:, 0], net(given)[:, -1], rtol=1e-5, atol=1e-5)
        longer = packed(net, torch.cat([given, given[:, :1]], 1)) if length < 8 else None
        if longer is not None:  # what the step wrote is what the next one reads
            first, width = 2, 16
            for place, one in enumerate(new):
                row = first + place * length + length - 1
                torch.testing.assert_close(longer[:, row], one[:, :, 0].reshape(3, width))


def exact(found: Quantized, samples: torch.Tensor) -> None:
    images = found.integers(samples)
    run = codeword.simulate(found.network, "ews-16", images)
    assert run.to_json()["bit_exact"]
    expected = run_integers(found.network, images)
    last = found.network.layers[-1].name
    assert (
        reference.run(found.network, torch.from_numpy(images).long())[last].numpy() == expected[last]
    ).all()


def test_a_prompt_in_integers():
    net = model()
    found = quantize(net, [tokens(16, 8)])
    assert found.sources.each[0].lookup is not None  # the embedding is the host's
    exact(found, tokens(1, 8))


@pytest.mark.parametrize("past", [1, 6])
def test_a_token_behind_keys_and_values_in_integers(past):
    net = model()
    found = quantize(Step(net, past), [packed(net, tokens(16, past + 1))])
    assert len(found.network.metadata["outputs"]) == 1 + 2 * SHAPE.blocks
    exact(found, packed(net, tokens(1, past + 1)))


def test_results_have_the_scales_that_are_given():
    net, past = model(), 3
    given = [Activation(0.05 + 0.01 * number) for number in range(1 + 2 * SHAPE.blocks)]
    samples = packed(net, tokens(16, past + 1))
    found = quantize(Step(net, past), [samples], results=given, allow=["*"])
    names = found.network.metadata["outputs"]
    assert [found.activations[name] for name in names] == given
    integers = run_integers(found.network, found.integers(samples))
    with torch.no_grad():
        real = Step(net, past)(samples)
    for name, scale, one in zip(names, given, real, strict=True):
        wanted, near = one.abs().clamp(max=127 * scale.scale), scale.real(integers[name])
        assert abs(float(wanted.norm()) - np.linalg.norm(near)) < 0.1 * float(wanted.norm())
    exact(found, samples[:1])


class Pooled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return torch.nn.functional.max_pool2d(self.conv(x), 2)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([Activation(0.5)], r"results\[0\] = 0.5: max_pool2d keeps"),
        ([Activation(0.5)] * 2, "the module returns 1"),
    ],
)
def test_scales_of_results_that_no_layer_takes_are_refused(results, message):
    with pytest.raises(InputError, match=message):
        quantize(Pooled().eval(), [torch.rand(4, 3, 8, 8)], results=results)


def test_a_prompt_in_weights_of_four_bits():
    net = model()
    prepared = METHODS["gptaq"].prepare(net, batches=[tokens(16, 8)], include="model.layers.*", group=16)
    found = prepared.quantized([tokens(16, 8)], allow=["*"])
    narrow = [
        layer for layer in found.network.layers if isinstance(getattr(layer, "weight", None), Int4Weight)
    ]
    assert len(narrow) >= 7 * SHAPE.blocks
    images = found.integers(tokens(1, 8))
    run = codeword.simulate(found.network, "int4-g128-16", images, settings=["scale_group=16"])
    assert run.to_json()["bit_exact"]
