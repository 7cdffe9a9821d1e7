"""Segmentation and detection: DeepLab-V3 and Mask R-CNN at the image sizes of MVQ (ASPLOS 2025, table 6)."""

from __future__ import annotations

from sim.workloads import mobilenet, resnet
from sim.workloads.builder import BATCHNORM, BIAS, NONE, Builder, Tensor
from sim.workloads.workload import Workload

_ROIS, _DETECTIONS, _ANCHORS, _CLASSES = 1000, 100, 3, 91
"""Proposals, detections with a mask, anchors a place, and COCO classes with background."""


def deeplab_v3() -> Workload:
    """DeepLab-V3 of Chen et al., arXiv 1706.05587, on MobileNetV2 with output stride 16.

    3x512x512 images, the 21 classes of VOC, pyramid rates 6, 12 and 18.
    """
    net = Builder("deeplab-v3", affine=BATCHNORM)
    image = Tensor(3, (512, 512))
    x = mobilenet.v2_features(net, image, output_stride=16)
    branches = [net.conv("aspp.point", x, 256)]
    branches += [net.conv(f"aspp.rate{rate}", x, 256, 3, dilation=rate) for rate in (6, 12, 18)]
    pooled = net.conv("aspp.image", net.global_pool("aspp.pool", x), 256)
    branches.append(net.upsample("aspp.broadcast", pooled, x.size))
    x = net.conv("aspp.project", net.concat("aspp.concat", *branches), 256)
    x = net.conv("classifier", x, 21, affine=BIAS)
    net.upsample("upsample", x, image.size)
    return net.workload()


def mask_rcnn() -> Workload:
    """Mask R-CNN of He et al., ICCV 2017, on ResNet-50 with a feature pyramid, for 3x800x800.

    1000 proposals and 100 masks; regions of interest lie one below the other. The choice of boxes
    (sorting, suppression) is left out.
    """
    net = Builder("mask-rcnn", affine=BATCHNORM)
    maps = resnet.stages(net, Tensor(3, (800, 800)), (3, 4, 6, 3), bottleneck=True)
    net.affine = BIAS
    levels = _pyramid(net, maps)
    _proposals(net, levels)

    x = _regions(net, "box", levels, _ROIS, 7)
    x = x.view(256 * 7 * 7, (_ROIS, 1))
    x = net.linear("box.fc1", x, 1024)
    x = net.linear("box.fc2", x, 1024)
    net.linear("box.classes", x, _CLASSES)
    net.linear("box.boxes", x, 4 * _CLASSES)

    x = _regions(net, "mask", levels, _DETECTIONS, 14)
    for number in range(1, 5):
        x = net.conv(f"mask.conv{number}", x, 256, 3)
    # A transposed 2x2 convolution of stride 2 is a 1x1 one with four outputs for each of its own.
    x = net.conv("mask.deconv", x, 4 * 256, affine=NONE)
    net.parameters += 256
    x = x.view(256, (2 * x.size[0], 2 * x.size[1]))
    net.conv("mask.classes", x, _CLASSES)
    return net.workload()


def _pyramid(net: Builder, maps: list[Tensor]) -> list[Tensor]:
    """Feature pyramid (Lin et al., CVPR 2017): five maps of 256 channels, the largest first."""
    levels: list[Tensor] = []
    above: Tensor | None = None
    for number, x in reversed(list(enumerate(maps, 2))):
        larger = net.upsample(f"fpn.up{number}", above, x.size) if above else None
        above = net.conv(f"fpn.lateral{number}", x, 256)
        if larger:
            above = net.add(f"fpn.add{number}", above, larger)
        levels.insert(0, net.conv(f"fpn.output{number}", above, 256, 3))
    return [*levels, net.pool("fpn.pool", levels[-1], 1, 2)]


def _proposals(net: Builder, levels: list[Tensor]) -> None:
    """Region proposal heads; all levels share their weights."""
    for number, level in enumerate(levels, 2):
        before = net.parameters
        x = net.conv(f"rpn.conv{number}", level, 256, 3)
        net.conv(f"rpn.scores{number}", x, _ANCHORS)
        net.conv(f"rpn.boxes{number}", x, 4 * _ANCHORS)
        if number > 2:
            net.parameters = before


def _regions(net: Builder, name: str, levels: list[Tensor], count: int, size: int) -> Tensor:
    """RoIAlign: `count` regions of size x size, each value from four samples of four pixels."""
    return net.sample(f"{name}.align", levels[0], (count * size, size), 16)
