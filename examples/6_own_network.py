"""A network of one's own: own data, own loss, own training loop; from the module to a layer equal on the Verilog."""

import torch
from torch import nn
from torch.nn import functional as F

import algos
import codeword


def conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU())


torch.manual_seed(0)
body = nn.Sequential(conv(3, 16), conv(16, 32), conv(32, 32))
module = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3))
colours = torch.rand(256, 3, 1, 1)
pictures, target = colours + 0.3 * torch.randn(256, 3, 32, 32), colours.flatten(1)  # regression

prepared = algos.METHODS["mvq"].prepare(module, batches=[pictures], k=32, d=16, pattern=(4, 16))
print(prepared.plan)
optimizer = torch.optim.AdamW(prepared.parameters(codebook=3e-3, others=1e-2))
for _ in range(60):
    chosen = torch.randperm(256)[:64]
    loss = F.smooth_l1_loss(module(pictures[chosen]), target[chosen]) + prepared.loss()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    prepared.after_step()

network = prepared.convert(pictures.split(64))
found = codeword.verify("ews-cms-16", network=network, layer="0.2.0")
print(f"loss {loss:.4f}; {found.words_compared} words, {found.mismatches} mismatches")
