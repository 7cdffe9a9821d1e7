"""Networks of weighted spikes: stepwise weighted coding, other codings beside it, and what they take.

Stepwise Weighted Spike coding (SWS, arXiv 2408.17245) gives the spikes of step k the weight 2^-k. The neuron's
equations are not public; ours are reconstructed from the abstracts of the three versions and from public reviews.
"""

from __future__ import annotations

from algos.spikes.convert import SpikingLayer, SpikingNetwork, convert
from algos.spikes.neuron import Neuron, fire
from algos.spikes.run import Spiked, run

__all__ = ["Neuron", "Spiked", "SpikingLayer", "SpikingNetwork", "convert", "fire", "run"]
