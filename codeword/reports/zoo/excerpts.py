"""Single layers cut out of a network, named by what the RTL must do for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sim.network import Add, AveragePool, CodebookWeight, Conv, Layer, Network, Pool, TensorSpec


@dataclass(frozen=True)
class Excerpt:
    """A layer with the convolutions that must run before it.

    Attributes:
        kind: what it shows of the RTL.
        layer: its name.
        reads: the tensor of the whole network that is its input.
    """

    kind: str
    layer: str
    reads: str
    network: Network


def smallest(network: Network) -> dict[str, Excerpt]:
    """One excerpt of each kind that the RTL has, the one with the fewest MACs; tables, which it lacks, are left off."""
    found: dict[str, Excerpt] = {}
    for excerpt in _excerpts(network):
        if excerpt.kind not in found or excerpt.network.macs < found[excerpt.kind].network.macs:
            found[excerpt.kind] = excerpt
    return found


def _excerpts(network: Network) -> Iterator[Excerpt]:
    for layer in network.layers:
        if isinstance(layer, Conv):
            yield _cut(network, _conv_kind(network, layer), [_plain(layer)], layer.input)
        elif isinstance(layer, Pool | AveragePool):
            before = None if layer.input == "input" else network[layer.input]
            if isinstance(before, Conv) and not _has_table(before):
                kind = f"{layer.mode} pool" if isinstance(layer, Pool) else "global average"
                yield _cut(network, f"{kind} behind a convolution", [before, layer], before.input)
        elif isinstance(layer, Add) and (chain := _chain(network, layer)):
            yield _cut(network, "addition on a convolution", [*chain, layer], chain[0].input)


def _conv_kind(network: Network, conv: Conv) -> str:
    outputs, _, ky, kx = conv.weight.shape
    channels, height, width = network.maps[conv.input]
    what = f"{ky}x{kx}" if (height, width) != (1, 1) else "linear"
    if conv.groups > 1:
        what += " depth-wise" if conv.groups == channels == outputs else " grouped"
    if conv.stride != (1, 1):
        what += " stride " + "x".join(map(str, dict.fromkeys(conv.stride)))
    if conv.dilation != (1, 1):
        what += " dilated"
    if conv.wide:
        what += ", int32 out"
    return what + (", codebook" if isinstance(conv.weight, CodebookWeight) else "")


def _has_table(conv: Conv) -> bool:
    return conv.requantization is not None and conv.requantization.table is not None


def _plain(conv: Conv) -> Conv:
    """The convolution up to what its table takes."""
    if conv.requantization is None or not _has_table(conv):
        return conv
    return replace(conv, requantization=replace(conv.requantization, table=None, table_zero_point=0))


def _chain(network: Network, add: Add) -> list[Conv]:
    """The convolutions from one operand of an addition to the other, if that is all there is between."""
    for end, begin in (add.inputs, add.inputs[::-1]):
        chain: list[Conv] = []
        while end not in (begin, "input"):
            conv = network[end]
            if not isinstance(conv, Conv) or _has_table(conv):
                break
            chain.insert(0, conv)
            end = conv.input
        if chain and end == begin:
            return chain
    return []


def _cut(network: Network, kind: str, layers: list[Layer], reads: str) -> Excerpt:
    def renamed(layer: Layer) -> Layer:
        if isinstance(layer, Add):
            one, two = ("input" if name == reads else name for name in layer.inputs)
            return replace(layer, inputs=(one, two))
        assert isinstance(layer, Conv | Pool | AveragePool)
        return replace(layer, input="input") if layer.input == reads else layer

    spec = TensorSpec(network.maps[reads], zero_point=network.zero_point(reads))
    alone = Network(network.name, spec, tuple(map(renamed, layers)))
    return Excerpt(kind, layers[-1].name, reads, alone)
