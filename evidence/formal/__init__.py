"""Proofs of properties of the components, for all inputs and all time."""
