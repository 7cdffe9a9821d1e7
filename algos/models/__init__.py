"""Networks to compress."""
