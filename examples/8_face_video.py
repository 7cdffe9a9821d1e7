"""Video in, verdict out: a drawn face, alive, on paper and on a screen; frames, flow, scores, a plot.

The student sees frames alone, in integers; the flow is what a teacher would see. It was trained on synthetic attacks
alone, of faces that are pictures of people and not drawn: an example, and no product.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import codeword
from algos.facepad.clips import read_clip, write_clip
from algos.facepad.integers import THRESHOLD, integer_scores, shipped
from algos.facepad.motion import flow_colours
from algos.facepad.synthetic import LIMIT, clip

rows, columns = np.mgrid[-1:1:25j, -1:1:25j]
face = 0.75 - 0.2 * np.hypot(rows, columns)
for row, column, height, width in (
    (-0.25, -0.4, 0.08, 0.16),
    (-0.25, 0.4, 0.08, 0.16),
    (-0.45, -0.4, 0.05, 0.22),
    (-0.45, 0.4, 0.05, 0.22),
    (0.5, 0, 0.08, 0.35),
):
    face -= 0.4 * np.exp(-(((rows - row) / height) ** 2) - ((columns - column) / width) ** 2)
wall = np.random.default_rng(0).integers(60, 200, (8, 8, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)

student, kinds = shipped(), ("real", "matte print", "moire replay")
threshold = float(student.metadata[THRESHOLD])
figure = Figure((7, 6), layout="constrained")
with tempfile.TemporaryDirectory() as folder:
    for kind, line in zip(kinds, figure.subplots(len(kinds), 3), strict=True):
        video = Path(folder) / "clip.avi"
        write_clip(video, clip(np.clip(face, 0, 1), wall, kind, np.random.default_rng(0)), codec="FFV1")
        frames = read_clip(video, least=2)
        scores = integer_scores(student, torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()))
        verdict = "accepted" if scores.mean() >= threshold else "rejected"
        print(
            f"{kind:12} scores {', '.join(f'{score:.2f}' for score in scores)}: {verdict} at {threshold:.2f}"
        )
        line[0].imshow(frames[0])
        line[1].imshow(flow_colours(frames, limit=LIMIT)[0])
        line[2].plot(scores, "o-")
        line[2].axhline(threshold, color="grey", linestyle=":")
        for panel, title in zip(line, (kind, "flow, for a teacher", f"score: {verdict}"), strict=True):
            panel.set_title(title)
        line[0].set_axis_off(), line[1].set_axis_off()
        line[2].set(ylim=(-0.05, 1.05), xticks=range(len(scores)), xlabel="frame")
    figure.savefig(sys.argv[1] if len(sys.argv) > 1 else Path(folder) / "faces.png")
cost = codeword.estimate("mobilenet-v3-facepad", "ews-16").cost
print(f"at 224x224 on ews-16: {1 / cost.time_s:.0f} frames a second, {cost.total_pj * 1e-6:.0f} uJ a frame")
