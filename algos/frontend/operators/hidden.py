"""Operators with products inside that no shape describes."""

from __future__ import annotations

from algos.frontend.operator import Call, Operator
from sim.importers.steps import Step
from sim.importers.unknown import hidden_products


class Hidden(Operator):
    """Refused, and never taken for vector work."""

    def __init__(self, fix: str) -> None:
        self.fix = fix  # type: ignore[misc]

    names = ()

    def steps(self, call: Call) -> list[Step]:
        raise hidden_products(call.name, call.operator, self.fix)


HIDDEN = {
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), "give it whole sequences, not packed ones"),
    "_native_multi_head_attention": "torch.backends.mha.set_fastpath_enabled(False)",
    "bilinear": "write it as linear layers and element-wise products",
    "_trilinear": "write it as linear layers and element-wise products",
    "cdist": "write the squared distance as |x|^2 - 2 x y + |y|^2 with a linear layer",
    "_cdist_forward": "write the squared distance as |x|^2 - 2 x y + |y|^2 with a linear layer",
    "grid_sample": "resample outside the network",
    "grid_sampler": "resample outside the network",
    "grid_sampler_2d": "resample outside the network",
    **dict.fromkeys(
        (
            "fft_fft",
            "fft_rfft",
            "fft_ifft",
            "fft_irfft",
            "fft_fft2",
            "_fft_c2c",
            "_fft_r2c",
            "_fft_c2r",
            "stft",
        ),
        "write the transform as a product with a constant matrix",
    ),
}
"""By operator: what to do instead."""
