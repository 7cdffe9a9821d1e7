"""Faces in a picture by MTCNN (Zhang et al., IEEE SPL 2016), with the weights that facenet-pytorch carries.

OpenCV 5 has neither cascades nor the model of its YuNet in its wheel, so that nothing of it finds a face by itself.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.data.packages import Wheel
from sim.errors import InputError

WEIGHTS = Wheel(
    "facenet-pytorch==2.6.0", "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca", "MIT"
)
SHRINK = 0.709
"""From one scale of the pyramid to the next: half the area."""
SURE = (0.6, 0.7, 0.7)
"""Least probability of a face after each network; overlaps and sides are likewise those of the paper's code."""
CELL, STRIDE, SIDES = 12, 2, (24, 48)


class _Net(nn.Module):
    """Convolutions with PReLU and max pools; names are those of the weight files.

    Args:
        layers: (name, outputs, kernel, pool): pool is the window after it, 0 for none.
        dense: outputs of a linear layer after them; 0 for the convolutions of the first network.
        heads: names of the outputs: face or not, corrections of the box.
    """

    def __init__(
        self, layers: tuple[tuple[int, int, int], ...], dense: tuple[int, int], heads: tuple[str, str]
    ) -> None:
        super().__init__()
        self.layers, self.dense, self.heads = layers, dense, heads
        inputs = 3
        for number, (outputs, kernel, _) in enumerate(layers, 1):
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, kernel))
            self.add_module(f"prelu{number}", nn.PReLU(outputs))
            inputs = outputs
        kind: type[nn.Module] = nn.Conv2d
        tail: tuple[int, ...] = (1,)
        if dense[0]:
            self.add_module(f"dense{len(layers) + 1}", nn.Linear(*dense))
            self.add_module(f"prelu{len(layers) + 1}", nn.PReLU(dense[1]))
            inputs, kind, tail = dense[1], nn.Linear, ()
        for head, outputs in zip(heads, (2, 4), strict=True):
            self.add_module(head, kind(inputs, outputs, *tail))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts = dict(self.named_children())
        for number, (_, _, pool) in enumerate(self.layers, 1):
            x = parts[f"prelu{number}"](parts[f"conv{number}"](x))
            if pool:
                x = F.max_pool2d(x, pool, 2, ceil_mode=True)
        if self.dense[0]:
            number = len(self.layers) + 1
            x = x.permute(0, 3, 2, 1).flatten(1)  # the weights are of a network that has width before height
            x = parts[f"prelu{number}"](parts[f"dense{number}"](x))
        face, box = (parts[head](x) for head in self.heads)
        return face.softmax(1)[:, 1], box


def faces(picture: np.ndarray, least: int = 20) -> np.ndarray:
    """Boxes of faces and how sure each is, the surest first: float64 [n, 5], left, top, right, bottom, probability.

    Args:
        picture: RGB, uint8 [H, W, 3].
        least: shorter side of the smallest face to find, pixels.

    Raises:
        InputError: the package index does not answer.
    """
    nets = _nets()
    whole = (torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()[None] - 127.5) / 128
    with torch.no_grad():
        found = _proposals(nets[0], whole, least)
        for net, side, sure, overlap in zip(nets[1:], SIDES, SURE[1:], (0.7, 0.7), strict=True):
            if not len(found):
                break
            squares = _square(found)
            parts = torch.cat([_resized(_taken(whole, box), side, side) for box in squares])
            probability, correction = net(parts)
            kept = probability >= sure
            moved = _corrected(squares[kept], correction[kept])
            found = _apart(torch.cat((moved, probability[kept, None].double()), 1), overlap)
    return found.numpy()


def crop(picture: np.ndarray, margin: float = 0.2) -> np.ndarray:
    """The surest face as a square with a margin, RGB uint8 [side, side, 3]; black where it leaves the picture.

    Args:
        margin: added on each side, as a share of the face.

    Raises:
        InputError: there is no face, or the package index does not answer.
    """
    found = faces(picture)
    if not len(found):
        raise InputError("picture", picture.shape, "shows no face that MTCNN finds", "give a larger face")
    left, top, right, bottom = found[0, :4]
    return square(picture, ((left + right) / 2, (top + bottom) / 2), max(right - left, bottom - top), margin)


def square(picture: np.ndarray, centre: tuple[float, float], side: float, margin: float = 0.2) -> np.ndarray:
    """As `crop`, around a known face: its centre (x, y) and side in pixels."""
    half = round(side * (1 + 2 * margin) / 2)
    left, top = (round(value) - half for value in centre)
    padded = np.pad(picture, ((2 * half, 2 * half), (2 * half, 2 * half), (0, 0)))
    return padded[top + 2 * half : top + 4 * half, left + 2 * half : left + 4 * half]


@cache
def _nets() -> tuple[_Net, _Net, _Net]:
    nets = (
        _Net(((10, 3, 2), (16, 3, 0), (32, 3, 0)), (0, 0), ("conv4_1", "conv4_2")),
        _Net(((28, 3, 3), (48, 3, 3), (64, 2, 0)), (576, 128), ("dense5_1", "dense5_2")),
        _Net(((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)), (1152, 256), ("dense6_1", "dense6_2")),
    )
    for net, name in zip(nets, ("pnet", "rnet", "onet"), strict=True):
        weights = torch.load(io.BytesIO(WEIGHTS.read(f"facenet_pytorch/data/{name}.pt")), weights_only=True)
        net.load_state_dict({key: value for key, value in weights.items() if key in net.state_dict()})
        net.eval()
    return nets


def _proposals(net: _Net, whole: Tensor, least: int) -> Tensor:
    """Boxes of the first network, which sees all places of all scales."""
    height, width = whole.shape[-2:]
    scale, found = CELL / least, []
    while min(height, width) * scale >= CELL:
        probability, correction = net(_resized(whole, int(height * scale + 1), int(width * scale + 1)))
        rows, columns = torch.nonzero(probability[0] >= SURE[0], as_tuple=True)
        corner = torch.stack((columns, rows), 1).double() * STRIDE
        boxes = torch.cat((corner, corner + CELL), 1) / scale
        moved = _corrected(boxes, correction[0, :, rows, columns].T)
        sure = probability[0, rows, columns, None].double()
        found.append(_apart(torch.cat((moved, sure), 1), 0.5))
        scale *= SHRINK
    return _apart(torch.cat(found), 0.7) if found else torch.zeros(0, 5, dtype=torch.float64)


def _corrected(boxes: Tensor, correction: Tensor) -> Tensor:
    """Sides moved by shares of the box's own width and height."""
    size = (boxes[:, 2:4] - boxes[:, :2]).repeat(1, 2)
    return boxes[:, :4] + correction.double() * size


def _apart(boxes: Tensor, overlap: float) -> Tensor:
    """Boxes [n, 5] without those that a surer one overlaps: intersection over union above `overlap`."""
    boxes, kept = boxes[boxes[:, 4].argsort(descending=True)], []
    while len(boxes):
        kept.append(boxes[0])
        low = torch.maximum(boxes[:, :2], boxes[0, :2])
        high = torch.minimum(boxes[:, 2:4], boxes[0, 2:4])
        shared = (high - low).clamp(min=0).prod(1)
        area = (boxes[:, 2:4] - boxes[:, :2]).prod(1)
        boxes = boxes[shared / (area + area[0] - shared) <= overlap]
    return torch.stack(kept) if kept else boxes


def _square(boxes: Tensor) -> Tensor:
    """The longer side both ways, around the same centre."""
    centre = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(1, keepdim=True).values / 2
    return torch.cat((centre - half, centre + half), 1)


def _taken(whole: Tensor, box: Tensor) -> Tensor:
    """A box of the picture; grey where it leaves it."""
    height, width = whole.shape[-2:]
    left, top, right, bottom = (int(value) for value in box[:4].round())
    inside = whole[..., max(0, top) : max(1, bottom), max(0, left) : max(1, right)]
    margins = (max(0, -left), max(0, right - width), max(0, -top), max(0, bottom - height))
    return F.pad(inside, margins)


def _resized(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x, (height, width), mode="area")
