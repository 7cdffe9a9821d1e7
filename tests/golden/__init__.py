"""Figures that may change only together with the file that records them, `metrics.json`."""
