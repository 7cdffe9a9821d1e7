"""Shapes of well-known convolutional networks against published counts."""

from __future__ import annotations

import pytest

from sim.errors import InputError
from sim.shapes import ConvShape, PassShape
from sim.workloads import WORKLOADS, workload
from tests.sim.workloads.workload_shapes import convs, macs


# Parameters: the model cards of torchvision (AlexNet, VGG, ResNets, MobileNetV2) and timm (MobileNet as
# mobilenetv1_100, EfficientNet-Lite0 as efficientnet_lite0); the others are derived below.
# MACs in millions: torchvision's cards (GFLOPS, which are MACs); MobileNet table 8; MobileNetV2 table 4.
@pytest.mark.parametrize(
    ("name", "parameters", "millions", "digit"),
    [
        ("alexnet", 61_100_840, 710, 10),
        ("vgg16", 138_357_544, 15_470, 10),
        ("resnet18", 11_689_512, 1_810, 10),
        ("resnet34", 21_797_672, 3_660, 10),
        ("resnet50", 25_557_032, 4_090, 10),
        ("mobilenet-v1", 4_231_976, 569, 1),
        ("mobilenet-v2", 3_504_872, 300, 1),
    ],
)
def test_published_counts(name: str, parameters: int, millions: int, digit: int) -> None:
    found = workload(name)
    assert found.parameters == parameters
    assert found.macs / 1e6 == pytest.approx(millions, abs=digit)  # to the last digit printed


@pytest.mark.parametrize(
    ("name", "macs", "layers"),
    [("resnet18", 1_814_073_344, 21), ("resnet34", 3_663_761_408, 37), ("resnet50", 4_089_184_256, 54)],
)
def test_resnets_to_the_last_digit(name: str, macs: int, layers: int) -> None:
    assert workload(name).macs == macs
    assert len(convs(name)) == layers


def test_maps_shrink_as_published() -> None:
    sizes = {shape.name: (shape.outputs, shape.out_h) for shape in convs("resnet50")}
    assert sizes["conv1"] == (64, 112)
    assert sizes["layer1.2.conv3"] == (256, 56)
    assert sizes["layer4.2.conv3"] == (2048, 7)
    assert sizes["fc"] == (1000, 1)


def test_residuals_ride_on_the_last_convolution_of_each_block() -> None:
    riding = [shape.name for shape in convs("resnet18") if shape.residual]
    assert riding == [f"layer{s}.{b}.conv2" for s in (1, 2, 3, 4) for b in (0, 1)]


def test_only_the_convolution_behind_a_shortcut_reads_an_older_map() -> None:
    assert [shape.name for shape in convs("resnet18") if not shape.chained] == [
        f"layer{stage}.0.conv1" for stage in (2, 3, 4)
    ]


def test_pools() -> None:
    pools = {s.name: s for s in workload("resnet18").shapes if isinstance(s, PassShape)}
    assert pools["maxpool"].elements == 64 * 56 * 56 * 9
    assert (pools["pool"].elements, pools["pool"].results) == (512 * 49, 512)


def test_resnet20_has_twenty_weighted_layers_and_two_shortcuts() -> None:
    shapes = convs("resnet20")
    assert len(shapes) == 20 + 2
    assert (shapes[0].channels, shapes[0].size) == (1, (28, 28))
    assert shapes[-2].results == 64 * 7 * 7
    # He et al. count 0.27 M. By hand: stem, 6 + (1 + 5) + (1 + 5) convolutions, classifier.
    convolutions = 9 * (16 + 6 * 16**2 + 16 * 32 + 5 * 32**2 + 32 * 64 + 5 * 64**2)
    shortcuts, norms = 16 * 32 + 32 * 64, 2 * (7 * 16 + 7 * 32 + 7 * 64)
    assert workload("resnet20").parameters == convolutions + shortcuts + norms + 64 * 10 + 10


def test_mobilenet_v3_student_matches_the_derived_table() -> None:
    """Blocks and their MACs in millions, of the torchvision configuration: 214.6 M, 3,465,010 parameters."""
    found = workload("mobilenet-v3-facepad")
    assert found.parameters == 2_971_952 + 960 * 512 + 512 + 512 * 2 + 2  # torchvision's backbone, the head
    assert found.macs / 1e6 == pytest.approx(214.6, abs=0.05)
    printed = [
        5.02,
        19.47,
        12.87,
        9.09,
        9.89,
        9.89,
        11.71,
        6.63,
        6.10,
        6.10,
        19.03,
        30.92,
        21.07,
        16.69,
        16.69,
    ]
    for number, millions in enumerate(printed, 1):
        assert macs("mobilenet-v3-facepad", f"block{number}.") / 1e6 == pytest.approx(millions, abs=0.006)


def test_squeeze_excite_scales_the_map_by_a_vector() -> None:
    shapes = {shape.name: shape for shape in workload("mobilenet-v3-facepad").shapes}
    scale, reduce, project = (shapes[f"block4.{part}"] for part in ("scale", "reduce", "project"))
    assert isinstance(scale, PassShape)
    assert isinstance(reduce, ConvShape)
    assert (scale.elements, scale.ifmap_bytes) == (72 * 28 * 28, 72 * 28 * 28 + 72)
    assert (reduce.channels, reduce.outputs) == (72, 24)
    assert project.chained
    assert not scale.chained


def test_efficientnet_lite0() -> None:
    found = workload("efficientnet-lite0")
    assert found.parameters == 4_652_008  # timm
    # The authors' table prints 407 M, the count of a profiler that sees batch normalizations and clamps as
    # well; these are folded and free here. Three operations for each of the 6.7 M results are 5 % of 407 M.
    results = sum(shape.results for shape in convs("efficientnet-lite0"))
    assert found.macs / 1e6 == pytest.approx(407, rel=0.06)
    assert (found.macs + 3 * results) / 1e6 == pytest.approx(407, rel=0.01)


def test_deeplab_v3() -> None:
    found = workload("deeplab-v3")
    # MobileNetV2 without its last convolution and classifier at 512x512; what reached 7x7 does not shrink
    # from 14x14 at an output stride of 16.
    features = 300_774_272 - 320 * 1280 * 49 - 1280 * 1000
    deep = 49 * (9 * 576 + 576 * 160 + 2 * (2 * 160 * 960 + 9 * 960) + 160 * 960 + 9 * 960 + 960 * 320)
    pyramid = 32**2 * 256 * (320 * (1 + 3 * 9) + 5 * 256 + 21) + 320 * 256
    assert found.macs == (features + 3 * deep) * 512**2 // 224**2 + pyramid
    backbone = 2_223_872 - 320 * 1280 - 2 * 1280  # torchvision's features
    assert found.parameters == backbone + 256 * (29 * 320 + 5 * 256) + 6 * 2 * 256 + 21 * 256 + 21
    # MVQ (table 6) prints 4.2 G at 512x512. Its head is not described; the pyramid of the DeepLab-V3 paper
    # (256 channels, three dilated 3x3 convolutions) is 2.7 G of ours and makes it a fifth more.
    assert found.macs / 1e9 == pytest.approx(4.2, rel=0.21)


def test_mask_rcnn() -> None:
    found = workload("mask-rcnn")
    # torchvision prints 44,401,393 with frozen batch normalizations, which it does not count.
    frozen = 25_557_032 - 25_502_912 - 1000
    assert found.parameters == 44_401_393 + frozen
    # MVQ prints 88.9 G at 800x800, as counters of MACs do for backbone and pyramid alone; they also
    # count normalizations and pools (0.03 G of ResNet-50 at 224x224, 0.4 G at 800x800).
    pyramid = macs("mask-rcnn", "conv1", "layer", "fpn")
    assert pyramid / 1e9 == pytest.approx(88.9, rel=0.006)
    # Detectron2's tests print 117 G for backbone, pyramid and proposals with strides in the 1x1
    # convolutions, where three layers have a quarter of our pixels.
    earlier = 3 * (256 * 128) * (200**2 - 100**2)
    assert (pyramid + macs("mask-rcnn", "rpn") - earlier) // 10**9 == 117
    boxes = 1000 * (12544 * 1024 + 1024**2 + 5 * 91 * 1024)
    assert macs("mask-rcnn", "box.") == boxes
    masks = 14**2 * (4 * 9 * 256**2 + 4 * 256**2 + 4 * 256 * 91)
    assert macs("mask-rcnn", "mask.") == 100 * masks


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_names_its_layers_apart(name: str) -> None:
    found = workload(name)
    assert found.name == name
    assert len({shape.name for shape in found.shapes}) == len(found.shapes)
    assert all(shape.elements > 0 for shape in found.shapes if isinstance(shape, PassShape))


def test_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(InputError, match="'resnet18'"):
        workload("resnet-18")
