"""Digit-serial machines of weighted spikes (SWS, arXiv 2408.17245): ternary digits, no multiplier."""
