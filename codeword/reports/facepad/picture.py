"""ROC and DET of the attack types that training never saw, a line a seed."""

from __future__ import annotations

from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from algos.facepad.metrics import curve
from codeword.reports.facepad import scored
from codeword.reports.facepad.scored import BASELINE, DISTILLED, STUDENT, TEACHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {BASELINE: "#BBBBBB", STUDENT: "#4477AA", DISTILLED: "#EE6677", TEACHER: "#228833"}
"""Paul Tol's bright scheme (SRON/EPS/TN/09-002)."""
LINES = {BASELINE: ":", STUDENT: "--", DISTILLED: "-", TEACHER: "-."}
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6)


def draw(found: dict[str, Any], path: Path) -> None:
    """Writes the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((9, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    roc, det = figure.subplots(1, 2)
    named = set()
    for row in found["rows"]:
        errors, model = curve(scored.presented(found, row)), row["model"]
        style: dict[str, Any] = {"color": COLOURS[model], "linestyle": LINES[model], "linewidth": 1.4}
        label = None if model in named else model
        named.add(model)
        roc.plot(errors.far, 1 - errors.frr, label=label, **style)
        det.plot(_probit(errors.far), _probit(errors.frr), **style)
    _label(roc, "ROC", "attacks accepted", "real faces accepted")
    roc.legend(loc="lower right", frameon=False)
    _label(det, "DET", "attacks accepted", "real faces rejected")
    det.set(xlim=_probit(np.array((0.008, 0.7))), ylim=_probit(np.array((0.008, 0.7))))
    for axis in (det.xaxis, det.yaxis):
        axis.set_ticks(_probit(np.array(TICKS)), [f"{100 * tick:g} %" for tick in TICKS])
    det.plot(*[_probit(np.array((0.008, 0.7)))] * 2, color="#DDDDDD", linewidth=0.8)
    figure.suptitle("Synthetic presentations, attack types that no training saw, a line a seed", fontsize=10)
    figure.savefig(path, dpi=130)


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)


def _probit(shares: np.ndarray) -> np.ndarray:
    """Quantiles of the normal distribution; errors of none and of all at the edge."""
    return np.array([NormalDist().inv_cdf(min(max(share, 1e-4), 1 - 1e-4)) for share in shares])
