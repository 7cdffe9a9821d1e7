"""Video in, verdict out: a drawn face, alive and in two attacks; frames, flow for a teacher, scores of a student.

The student sees frames alone, in integers, and has been trained on synthetic attacks alone: no product.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import codeword
from algos.facepad.clips import read_clip, write_clip
from algos.facepad.integers import integer_scores, shipped
from algos.facepad.motion import flow_colours
from algos.facepad.synthetic import LIMIT, clip

rows, columns = np.mgrid[-1:1:25j, -1:1:25j]
face = 0.8 - 0.25 * np.hypot(rows, columns)
for row, column, height, width in ((-0.25, -0.4, 0.1, 0.15), (-0.25, 0.4, 0.1, 0.15), (0.5, 0, 0.08, 0.3)):
    face -= 0.4 * np.exp(-(((rows - row) / height) ** 2) - ((columns - column) / width) ** 2)
wall = np.kron(np.random.default_rng(0).integers(60, 200, (8, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)

student, kinds = shipped(), ("real", "matte print", "moire replay")
figure = Figure((7, 6), layout="constrained")
axes = figure.subplots(len(kinds), 3)
with tempfile.TemporaryDirectory() as folder:
    for line, kind in zip(axes, kinds, strict=True):
        write_clip(Path(folder) / "clip.avi", clip(np.clip(face, 0, 1), wall, kind, np.random.default_rng(1)))
        frames = read_clip(Path(folder) / "clip.avi", least=2)
        scores = integer_scores(student, torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()))
        print(f"{kind:12} real with {', '.join(f'{score:.2f}' for score in scores)} by frame")
        line[0].imshow(frames[0])
        line[1].imshow(flow_colours(frames, limit=LIMIT)[0])
        line[2].plot(scores, "o-")
        (
            line[0].set(title=kind),
            line[1].set(title="flow: the teacher's alone"),
            line[2].set(ylim=(0, 1), title="score"),
        )
        for shown in line[:2]:
            shown.set_axis_off()
    figure.savefig(sys.argv[1] if len(sys.argv) > 1 else Path(folder) / "faces.png")
cost = codeword.estimate("mobilenet-v3-facepad", "ews-16").cost
print(f"at 224x224 on ews-16: {1 / cost.time_s:.0f} frames a second, {cost.total_pj * 1e-6:.0f} uJ a frame")
