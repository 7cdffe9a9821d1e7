"""Diffusion in few bits: pictures beside those of the float network, and what they cost on accelerators."""
