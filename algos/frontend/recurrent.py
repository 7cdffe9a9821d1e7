"""LSTM, GRU and RNN step by step, as torch itself spells them where a device has no kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch._decomp import decompositions

STEPS: Mapping[Any, Callable[..., Any]] = {
    torch.ops.aten.lstm.input: decompositions.lstm_impl,
    torch.ops.aten.gru.input: decompositions.gru_impl,
    torch.ops.aten.rnn_tanh.input: decompositions.rnn_tanh_input,
    torch.ops.aten.rnn_relu.input: decompositions.rnn_relu_input,
}
"""By operator on a whole sequence. The input's product is one linear layer over all steps, the state's one a step."""
