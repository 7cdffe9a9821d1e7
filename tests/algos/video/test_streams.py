"""What the front end records of diffusers' classes is what the workloads write down by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algos.frontend.shapes import import_module
from sim.shapes import ConvShape
from sim.workloads.video import wan


class _Passed(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, clips: Tensor, times: Tensor, text: Tensor) -> Tensor:
        return self.backbone(clips, times, text, return_dict=False)[0]


def test_wan_by_hand_is_wan_of_diffusers() -> None:
    """Products of one block, 256 channels, 9 frames of 64x48 pixels: every size of a layer as often."""
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    backbone = WanTransformer3DModel(num_attention_heads=2, num_layers=1, ffn_dim=512).eval()
    given = (torch.randn(1, 16, 3, 8, 6), torch.tensor([500.0]), torch.randn(1, 512, 4096))
    recorded = import_module(_Passed(backbone.requires_grad_(False)), given)
    written = wan("wan", 1, 256, 512, (9, 64, 48)).shapes
    products = [
        sorted(shape.macs for shape in found if isinstance(shape, ConvShape)) for found in (recorded, written)
    ]
    assert products[0] == products[1]
