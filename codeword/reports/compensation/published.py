"""Figures of the papers that the report stands beside, and what differs."""

from __future__ import annotations

GPTAQ_W3 = (
    ("Llama-2-7B", "5.47 / 7.26", "6.75 / 8.98", "6.88 / 14.02", "6.59 / 8.39"),
    ("Llama-2-13B", "", "5.49 / 7.57", "5.42 / 7.36", "5.41 / 7.33"),
    ("Llama-3-8B-Instruct", "7.21 / 11.39", "10.47 / 16.77", "9.04 / 14.01", "8.86 / 13.84"),
)
"""GPTAQ (arXiv 2504.02692), W3 g128 symmetric, perplexity on WikiText2 / C4: float, AWQ, GPTQ, GPTAQ."""

GPTAQ_W4A4 = (
    ("Llama-2-7B", "5.47", "7.98", "6.00", "5.86"),
    ("Llama-3-8B", "6.14", "9.91", "7.80", "7.37"),
    ("Llama-3-70B", "2.85", "46.6", "9.44", "6.93"),
)
"""GPTAQ, W4A4 with QuaRot's rotations, the online ones too, perplexity on WikiText2: float, RTN, GPTQ, GPTAQ."""

RESCOMP = (
    ("W3 g128, Llama-2-7B", "GPTQ", "6.73 / 13.60", "6.40 / 8.34"),
    ("W3 g128, Llama-2-7B", "GPTAQ", "6.53 / 8.40", "6.25 / 8.19"),
    ("W3 g128, Llama-3-8B", "GPTAQ", "8.39 / 12.96", "7.77 / 12.25"),
    ("W2 g128 rotated, Llama-2-7B", "GPTQ", "19.0", "17.9"),
    ("W2 g128 rotated, Llama-2-7B", "GPTAQ", "9.5", "8.9"),
    ("W2 g128 rotated, Llama-2-13B", "GPTAQ", "7.50", "7.32"),
)
"""ResComp (arXiv 2604.07955), perplexity on WikiText2 / C4 of a base and of the base with it, as others report its
tables.
"""

DIFFERENCES = (
    "Models of 1.7 and 135 million parameters, not 7 to 70 billion; text, calibration and vocabulary are others.",
    "Groups of 64, since 576 inputs have no groups of 128; calibration on fewer tokens (the papers: 128 windows of "
    "2,048).",
    "Our groups lie in the order of the weights under act-order, with scales of the given weights, as an array reads "
    "them; the papers' scripts group the permuted inputs and fit scales as their turn comes.",
    "Statistics are damped once each. In the published code layers that share a second moment are damped again.",
    "Rotations that fuse alone, of the stream and of the values; the papers' W4A4 and W2 rows rotate online as well.",
)
