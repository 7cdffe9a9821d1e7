"""Weighted spikes beside other codings, on the shipped ResNet-20."""
