"""What the solvers must know of a layer's inputs, gathered batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor

from sim.errors import InputError


class Statistics:
    """Second moments of the inputs of a layer, in the stream of the quantized network and beside it in the float one.

    Only sums of products are kept, so that memory does not grow with the samples.

    Attributes:
        hessian: X X^T, [n, n]; X holds the inputs of the quantized stream, a column a sample.
        difference: (X~ - X) X^T, [n, n]; X~ is the float stream. 0 where both streams are the same.
        samples: columns so far.
    """

    def __init__(
        self, inputs: int, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> None:
        self.hessian = torch.zeros(inputs, inputs, dtype=dtype, device=device)
        self.difference = torch.zeros_like(self.hessian)
        self.samples = 0

    def add(self, quantized: Tensor, plain: Tensor | None = None) -> None:
        """Some more samples.

        Args:
            quantized: inputs of the layer, [..., n], in the quantized stream.
            plain: the same in the float stream; None if it is the same.

        Raises:
            InputError: another width, different numbers of samples, or values that are not finite.
        """
        rows = self._rows(quantized)
        self.hessian += rows.T @ rows
        if plain is not None:
            others = self._rows(plain)
            if others.shape != rows.shape:
                raise InputError(
                    "plain", list(plain.shape), f"is not {list(quantized.shape)}", "give the same samples"
                )
            self.difference += (others - rows).T @ rows
        self.samples += len(rows)

    def _rows(self, values: Tensor) -> Tensor:
        width = len(self.hessian)
        if values.shape[-1] != width:
            raise InputError("inputs", list(values.shape), f"the layer takes {width}", "give its own inputs")
        rows = values.detach().reshape(-1, width).to(self.hessian)
        if not torch.isfinite(rows).all():
            raise InputError(
                "inputs", "NaN or infinite", "cannot be averaged", "look for where the stream overflows"
            )
        return rows
