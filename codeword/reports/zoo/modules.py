"""The modules: who wrote each, how it is built, and what it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

PICTURE = (3, 64, 64)
TOKENS = (16, 64)
"""Embedded words: a network of integers begins behind the embedding."""

Call = Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class Entry:
    """A module.

    Attributes:
        package: as on PyPI; "ours" for the trained networks that ship with the project.
        build: the module with the package's own random weights.
        extent: of one sample.
        note: what about it is not the package's default.
    """

    name: str
    package: str
    build: Callable[[], nn.Module]
    extent: tuple[int, ...] = PICTURE
    note: str = ""


class Called(nn.Module):
    """A module called in its own way, of one tensor in and one out."""

    def __init__(self, inner: nn.Module, call: Call) -> None:
        super().__init__()
        self.inner, self.call = inner, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.inner, x)


def _package(name: str) -> Any:
    """A package, also where the compiled operators of torchvision, which most import, are of another PyTorch.

    No model here uses them.
    """
    try:
        import_module("torchvision")
    except ModuleNotFoundError:
        pass
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")  # its own files only extend this one
        _KEPT.append(library)
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return import_module(name)


_KEPT: list[torch.library.Library] = []
"""Operators go with the library that defines them."""


def _torchvision(name: str, call: Call | None = None, **options: Any) -> nn.Module:
    module: nn.Module = _package("torchvision.models").get_model(name, weights=None, **options)
    return module if call is None else Called(module, call)


def _timm(name: str, **options: Any) -> nn.Module:
    module: nn.Module = _package("timm").create_model(name, **options)
    return module


def _transformers(name: str, call: Call, **options: Any) -> nn.Module:
    package = _package("transformers")
    config = getattr(
        package, name.removesuffix("ForCausalLM").removesuffix("ForSequenceClassification") + "Config"
    )
    return Called(getattr(package, name)(config(**options)), call)


def _unet() -> nn.Module:
    module = _package("diffusers").UNet2DModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
    )
    return Called(module, lambda m, x: m(x, 10).sample)


def _ours(name: str) -> nn.Module:
    from algos import zoo

    module = zoo.load(name)
    assert isinstance(module, nn.Module)
    return module


def _vision(name: str, note: str = "", **options: Any) -> Entry:
    return Entry(name, "torchvision", partial(_torchvision, name, **options), note=note)


def _picture_model(name: str, note: str = "", **options: Any) -> Entry:
    return Entry(name, "timm", partial(_timm, name, **options), note=note)


def _causal(model: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = model(inputs_embeds=x, use_cache=False).logits
    return logits


def _classes(model: nn.Module, x: Tensor) -> Tensor:
    logits: Tensor = model(inputs_embeds=x).logits
    return logits


def _language(name: str, call: Call, **options: Any) -> Entry:
    sizes = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2}
    build = partial(_transformers, name, call, **sizes, **options)
    return Entry(name, "transformers", build, TOKENS, "2 blocks of width 64, 16 tokens")


def _segmentation(model: nn.Module, x: Tensor) -> Tensor:
    return model(x)["out"]  # type: ignore[no-any-return]


_HEADS = {"num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 64}

ENTRIES = (
    _vision("resnet18"),
    _vision("resnet50"),
    _vision("vgg11_bn"),
    _vision("mobilenet_v2"),
    _vision("mobilenet_v3_small"),
    _vision("mobilenet_v3_large"),
    _vision("efficientnet_b0"),
    _vision("shufflenet_v2_x1_0"),
    _vision("squeezenet1_1"),
    _vision("regnet_y_400mf"),
    _vision("mnasnet1_0"),
    _vision("googlenet", "without auxiliary outputs", aux_logits=False, init_weights=False),
    _vision("convnext_tiny"),
    _vision("vit_b_16", "64x64 pictures", image_size=64),
    _vision("swin_t"),
    _vision("lraspp_mobilenet_v3_large", "its output `out`", call=_segmentation, weights_backbone=None),
    _picture_model("deit_tiny_patch16_224", "64x64 pictures", img_size=64),
    _picture_model("mobilevit_xxs"),
    _picture_model("poolformer_s12"),
    _picture_model("repvit_m0_9"),
    _language("LlamaForCausalLM", _causal, num_key_value_heads=2, **_HEADS),
    _language("Qwen2ForCausalLM", _causal, num_key_value_heads=2, **_HEADS),
    _language("BertForSequenceClassification", _classes, **_HEADS),
    _language("MambaForCausalLM", _causal, state_size=8),
    Entry(
        "UNet2DModel", "diffusers", _unet, (3, 16, 16), "2 levels of 32 and 64 channels, 16x16, time step 10"
    ),
    Entry("vim-fashion", "ours", partial(_ours, "vim-fashion"), (1, 28, 28), "trained"),
    Entry("deit-fashion", "ours", partial(_ours, "deit-fashion"), (1, 28, 28), "trained"),
)
"""25 modules of others, and two of ours with trained weights."""


def named(name: str) -> Entry:
    """The entry of a name in `ENTRIES`."""
    return next(entry for entry in ENTRIES if entry.name == name)
