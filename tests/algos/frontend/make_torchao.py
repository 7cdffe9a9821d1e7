"""Writes torchao.json: small tensors of torchao (BSD-3-Clause), what they hold and what torchao reads in them.

Needs torchao, which the tests do not: `PYTHONPATH=.:FOLDER_OF_TORCHAO python -m tests.algos.frontend.make_torchao`.
Weights are random integers times scales of blocks; of the first two formats torchao itself chooses the scales.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

PATH = Path(__file__).with_name("torchao.json")


def bytes_of(tensor: torch.Tensor) -> dict[str, Any]:
    """Shape, and its bytes in hexadecimal."""
    flat = tensor.contiguous().view(torch.uint8).flatten()
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "hex": bytes(flat.tolist()).hex(),
    }


def main() -> None:
    import torchao
    from torchao.prototype.mx_formats.mx_tensor import MXTensor
    from torchao.prototype.mx_formats.nvfp4_tensor import NVFP4Tensor
    from torchao.quantization import IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerAxis, PerGroup

    torch.manual_seed(0)
    plain = torch.randn(4, 64)
    grid = torch.randint(-6, 7, (4, 4, 16)).float()
    grid[:, :, 0] = 6
    grid = (grid * torch.tensor([1.0, 2.0, 3.0, 5.0])[torch.randint(0, 4, (4, 4, 1))] / 8).reshape(4, 64)
    levels = torch.randint(-8, 8, (4, 2, 32)).float()
    levels[:, :, 0] = -8
    levels = (levels * torch.tensor([1.0, 3.0])[None, :, None] * 0.01).reshape(4, 64)

    def intx(weight: torch.Tensor, granularity: Any) -> Any:
        layer = torch.nn.Sequential(torch.nn.Linear(64, 4, bias=False))
        layer[0].weight.data = weight.clone()
        quantize_(layer, IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=granularity))
        return layer[0].weight

    cases = {
        "mxfp4": MXTensor.to_mx(plain, torch.float4_e2m1fn_x2, 32),
        "mxfp4, far apart": MXTensor.to_mx(
            plain * torch.tensor([1.0, 40.0]).repeat_interleave(32), torch.float4_e2m1fn_x2, 32
        ),
        "nvfp4": NVFP4Tensor.to_nvfp4(plain),
        "nvfp4, whole": NVFP4Tensor.to_nvfp4(grid),
        "int4": intx(plain, PerGroup(32)),
        "int4, whole": intx(levels, PerGroup(32)),
        "int4, an output": intx(plain, PerAxis(0)),
    }
    found = {}
    for name, tensor in cases.items():
        held = {
            field: bytes_of(value) if isinstance(value, torch.Tensor) else str(value).removeprefix("torch.")
            for field in ("qdata", "scale", "zero_point", "elem_dtype", "target_dtype")
            if (value := getattr(tensor, field, None)) is not None
        }
        block = tensor.block_size
        found[name] = {
            "class": type(tensor).__name__,
            "block_size": list(block) if isinstance(block, tuple) else block,
            **held,
            "dequantized": tensor.dequantize().float().tolist(),
        }
    PATH.write_text(json.dumps({"torchao": torchao.__version__, "cases": found}) + "\n")


if __name__ == "__main__":
    main()
