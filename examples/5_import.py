"""What does a PyTorch module cost? Layers come from torch.export; MACs are checked against torch."""

import torch
from torch import nn

import codeword
from algos.frontend.shapes import import_module

block = nn.Sequential(
    nn.Conv2d(16, 64, 1),
    nn.ReLU6(),
    nn.Conv2d(64, 64, 3, padding=1, groups=64),
    nn.ReLU6(),
    nn.Conv2d(64, 16, 1),
).eval()
shapes = import_module(block, (torch.rand(1, 16, 28, 28),))
for name in ("ews-16", "ews-cms-16"):
    cost = codeword.estimate(shapes, name).cost
    print(f"{name:10} {cost.macs:>9,} MACs  {cost.cycles:>7,} cycles  {cost.tops_per_watt:5.2f} TOPS/W")
