"""Shapes of well-known networks by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache

from sim.errors import InputError, nearest
from sim.workloads import cnn, detection, mamba, mobilenet, resnet, transformer, unet, video
from sim.workloads.workload import Workload

__all__ = ["OTHER_NAMES", "WORKLOADS", "Workload", "spelled", "workload"]


def _batched(network: Callable[[str, int, int], Workload], name: str) -> Workload:
    """An edit by DFVEdit whose branches run as one batch."""
    return network(name, video.EDIT_EVALUATIONS // video.BRANCHES, video.BRANCHES)


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "alexnet": cnn.alexnet,
    "vgg16": cnn.vgg16,
    "resnet18": lambda: resnet.imagenet(resnet.builder("resnet18"), (2, 2, 2, 2)),
    "resnet34": lambda: resnet.imagenet(resnet.builder("resnet34"), (3, 4, 6, 3)),
    "resnet50": lambda: resnet.imagenet(resnet.builder("resnet50"), (3, 4, 6, 3), bottleneck=True),
    "resnet20": lambda: resnet.small(resnet.builder("resnet20")),
    "mobilenet-v1": mobilenet.v1,
    "mobilenet-v2": mobilenet.v2,
    "mobilenet-v3-facepad": mobilenet.v3_facepad,
    "efficientnet-lite0": mobilenet.efficientnet_lite0,
    "deeplab-v3": detection.deeplab_v3,
    "mask-rcnn": detection.mask_rcnn,
    "deit-t": lambda: transformer.deit("deit-t", 192),
    "deit-s": lambda: transformer.deit("deit-s", 384),
    "deit-b": lambda: transformer.deit("deit-b", 768),
    "vim-t": lambda: mamba.vim("vim-t", 192),
    "vim-s": lambda: mamba.vim("vim-s", 384),
    "vim-b": lambda: mamba.vim("vim-b", 768),
    **{model.name: model.prefill for model in transformer.LANGUAGE_MODELS},
    **{f"{model.name}-decode": model.decode for model in transformer.LANGUAGE_MODELS},
    "sd-v1-4": unet.stable_diffusion,
    "sd-v2-1": unet.stable_diffusion_2,
    "sd-xl": unet.stable_diffusion_xl,
    "zeroscope": unet.zeroscope,
    "zeroscope-edit": lambda: unet.zeroscope("zeroscope-edit", passes=unet.EDIT_EVALUATIONS),
    "zeroscope-inverting-edit": lambda: unet.zeroscope_inverting("zeroscope-inverting-edit"),
    "zeroscope-fusing-edit": lambda: unet.zeroscope_fusing("zeroscope-fusing-edit"),
    "wan2.1-1.3b": lambda: video.wan_1b("wan2.1-1.3b"),
    "wan2.1-1.3b-edit": lambda: video.wan_1b("wan2.1-1.3b-edit", video.EDIT_EVALUATIONS),
    "wan2.1-14b": lambda: video.wan_14b("wan2.1-14b"),
    "wan2.1-14b-edit": lambda: video.wan_14b("wan2.1-14b-edit", video.EDIT_EVALUATIONS),
    "wan2.1-1.3b-batched-edit": lambda: _batched(video.wan_1b, "wan2.1-1.3b-batched-edit"),
    "wan2.1-14b-batched-edit": lambda: _batched(video.wan_14b, "wan2.1-14b-batched-edit"),
    "cogvideox-5b": video.cogvideox,
    "cogvideox-5b-edit": lambda: video.cogvideox("cogvideox-5b-edit", video.EDIT_EVALUATIONS),
    "cogvideox-5b-batched-edit": lambda: _batched(video.cogvideox, "cogvideox-5b-batched-edit"),
}

OTHER_NAMES = {
    "mobilenet_v2": "mobilenet-v2",
    "mobilenetv1_100": "mobilenet-v1",
    "mobilenetv2_100": "mobilenet-v2",
    "efficientnet_lite0": "efficientnet-lite0",
    "maskrcnn_resnet50_fpn": "mask-rcnn",
    "deit_tiny_patch16_224": "deit-t",
    "deit_small_patch16_224": "deit-s",
    "deit_base_patch16_224": "deit-b",
}
"""What torchvision and timm call the same shapes, where they write another name."""


def spelled(name: str, known: Iterable[str] = ()) -> str:
    """Our name of a network that torchvision or timm has too, tags of its weights left out; others stay.

    Args:
        known: names beside those of the workloads, that may be written with `_` for `-`.
    """
    plain = re.sub(r"\.(\w+_)?in\d+k(_\w+)?$", "", name)  # timm: resnet50.a1_in1k
    own = OTHER_NAMES.get(plain, plain.lower().replace("_", "-"))
    return own if own in WORKLOADS or own in known else name


@cache
def workload(name: str) -> Workload:
    """A network's layer shapes in execution order, and its parameters.

    Raises:
        InputError: unknown name, with the nearest one.
    """
    if name not in WORKLOADS:
        raise InputError("network", name, "unknown", nearest(name, WORKLOADS))
    return WORKLOADS[name]()
