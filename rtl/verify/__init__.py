"""The complete accelerator in Verilog against the cycle engine: every value, cycle and counter."""

from rtl.verify.campaign import NETWORKS, verify_many
from rtl.verify.result import LayerResult, VerifyResult
from rtl.verify.time_steps import verify_steps
from rtl.verify.tracing import trace_network
from rtl.verify.verify import verify_layer, verify_network, verify_random

__all__ = [
    "NETWORKS",
    "LayerResult",
    "VerifyResult",
    "trace_network",
    "verify_layer",
    "verify_many",
    "verify_network",
    "verify_random",
    "verify_steps",
]
