"""Small random networks that become spikes: every kind of layer and of branch that the machine has."""

from __future__ import annotations

import numpy as np

from sim.digit_serial.accelerator import DigitSerial
from sim.network import Add, AveragePool, Conv, DenseWeight, Layer, Network, Requantization, TensorSpec


def random_network(acc: DigitSerial, seed: int) -> Network:
    """A convolution, a depth-wise one, a residual block with or without a convolution in its branch, and a classifier.

    Its input, the depth-wise convolution and the block have a sign or not.

    Channels are about those of the array, so that groups and blocks are full and not; some additions have weights of
    more than 8 bits.
    """
    return _Growing(acc, seed).made()


def random_image(net: Network, seed: int) -> np.ndarray:
    """int8 [1, C, H, W], zero digits in whole patches."""
    random = np.random.default_rng([seed, 1])
    image = random.integers(-128, 128, (1, *net.input.shape))
    black = random.random((1, 1, *net.input.shape[1:])) < 0.3
    return np.where(black, net.input.zero_point, image).astype(np.int8)


class _Growing:
    def __init__(self, acc: DigitSerial, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.lanes = acc.lanes
        height, width = self.random.integers(3, 8, 2)
        zero = int(self.random.choice([-128, 0]))
        self.input = TensorSpec((int(self.random.integers(1, 4)), int(height), int(width)), 1 / 255, zero)
        self.layers: list[Layer] = []

    def made(self) -> Network:
        random = self.random
        channels = int(random.integers(self.lanes // 2, 2 * self.lanes + 1))
        kernel = (int(random.integers(1, 4)), int(random.integers(1, 4)))
        self._conv("stem", "input", self.input.shape[0], channels, kernel)
        last = "stem"
        if random.random() < 0.5:
            relu = bool(random.random() < 0.5)
            self._conv("depthwise", last, channels, channels, (3, 3), groups=channels, relu=relu)
            last = "depthwise"
        outputs = channels
        stride = 1
        branch = last
        if random.random() < 0.5:
            outputs, stride = (
                int(random.integers(self.lanes // 2, self.lanes + 9)),
                int(random.integers(1, 3)),
            )
            self._conv("branch", last, channels, outputs, (1, 1), stride=stride, relu=False)
            branch = "branch"
        self._conv("conv", last, channels, outputs, (3, 3), stride=stride, relu=False)
        shares = (int(random.integers(1, 200)), int(random.integers(1, 200)))
        self.layers.append(Add("sum", ("conv", branch), shares, 8, low=int(random.choice([0, -128]))))
        source = "sum"
        if random.random() < 0.5:
            self.layers.append(AveragePool("pool", source, 5000, 16))
            source = "pool"
        size = Network("begun", self.input, tuple(self.layers)).maps[source][1:]
        self._conv("classifier", source, outputs, int(random.integers(2, self.lanes + 4)), size, last=True)
        return Network("random", self.input, tuple(self.layers))

    def _conv(
        self,
        name: str,
        source: str,
        channels: int,
        outputs: int,
        size: tuple[int, ...],
        *,
        stride: int = 1,
        groups: int = 1,
        relu: bool = True,
        last: bool = False,
    ) -> None:
        """`last`: a classifier, whose sums nothing requantizes, and whose kernel is the whole map."""
        random = self.random
        weight = random.integers(-127, 128, (outputs, channels // groups, *size)).astype(np.int8)
        fan = np.sqrt(weight[0].size) * 60 * 40
        after = None
        if not last:
            shift = 16
            multiplier = random.integers(30, 90, outputs) / fan * 2**shift
            low = 0 if relu else -128
            after = Requantization(
                np.maximum(1, multiplier).astype(np.uint16), np.full(outputs, shift, np.uint8), low=low
            )
        padding = (0, 0) if last else (size[0] // 2, size[1] // 2)
        self.layers.append(
            Conv(
                name,
                source,
                DenseWeight(weight),
                random.integers(-2000, 2000, outputs).astype(np.int32),
                (stride, stride),
                padding,
                after,
                groups,
            )
        )
