"""RTL against the cycle engine: every psum row, its cycle, and every counter."""

from rtl.verify.verify import VerifyResult, verify, verify_layer, verify_random

__all__ = ["VerifyResult", "verify", "verify_layer", "verify_random"]
