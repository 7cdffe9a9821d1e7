"""AlexNet and VGG-16 in the versions of common checkpoints (torchvision), for 3x224x224."""

from __future__ import annotations

from sim.workloads.builder import Builder, Tensor
from sim.workloads.workload import Workload


def alexnet() -> Workload:
    """AlexNet of Krizhevsky, arXiv 1404.5997: one tower, no local response normalization."""
    net = Builder("alexnet")
    x = net.conv("conv1", Tensor(3, (224, 224)), 64, 11, 4, padding=2)
    x = net.pool("pool1", x, 3, 2, largest=True)
    x = net.conv("conv2", x, 192, 5)
    x = net.pool("pool2", x, 3, 2, largest=True)
    for number, outputs in enumerate((384, 256, 256), 3):
        x = net.conv(f"conv{number}", x, outputs, 3)
    return _classified(net, net.pool("pool5", x, 3, 2, largest=True))


def vgg16() -> Workload:
    """VGG-16 of Simonyan and Zisserman, ICLR 2015 (configuration D)."""
    net = Builder("vgg16")
    x = Tensor(3, (224, 224))
    for stage, (convs, outputs) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for number in range(1, convs + 1):
            x = net.conv(f"conv{stage}.{number}", x, outputs, 3)
        x = net.pool(f"pool{stage}", x, 2, largest=True)
    return _classified(net, x)


def _classified(net: Builder, x: Tensor) -> Workload:
    x = x.flat
    for number, outputs in enumerate((4096, 4096, 1000), 1):
        x = net.linear(f"fc{number}", x, outputs)
    return net.workload()
