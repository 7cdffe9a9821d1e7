"""What measuring and page both say: codebooks, machines, the rule of the synthetic weights."""

from __future__ import annotations

K, D = 16, 4
"""Of plain k-means: one bit a weight and the codebooks; what a codebook of `ews-c-4` holds."""

WEIGHTS = 2**18
"""That are clustered: k-means of all layers of the larger modules takes an hour."""

ENGINE: dict[str, tuple[str, list[str]]] = {
    "int8": ("ews-64", []),
    "vq": ("ews-c-64", [f"codeword_length={D}"]),
}
"""Machine and settings of the engine's run, by network."""

RTL = {False: ("ews-4", "verilator", 4_000_000), True: ("ews-c-4", "icarus", 200_000)}
"""Machine, simulator and most MACs of an excerpt, with codebooks or without: Icarus needs no build, and clustered
layers of every kind are small somewhere."""

PATIENT = {False: 12_000_000, True: 2_000_000}
"""Most MACs of an excerpt of a kind that no module has in small."""

ROOM = ("l1_bytes=524288",)
"""Settings of the machine on which such an excerpt is tried again: in its L1 a map of that size stays."""

BRANCH = 0.2
"""Gain of the batch norm that ends a residual branch; networks are often trained from 0 there."""

OFFSET = 1.0
"""Of the other batch norms, in standard deviations: most of what a ReLU sees then passes it."""

HEAD = 0.02
"""Standard deviation of parameters that are all zero: their module would compute nothing."""

TOKEN = 1.0
"""Standard deviation of class tokens: as large as the patches beside them. From 0 on, where packages begin, the norm
behind enlarges what INT8, one scale for all tokens, makes of them."""

BATCHES, SAMPLES = 2, 2
"""Of the calibration."""

RULE = f"""Nothing is downloaded. Weights are the package's own random ones, seed 0, and one rule for all networks with
batch norms, since a deep network of random weights amplifies the noise of rounding by itself (-3 to 7 dB at the output
of some of these, although each layer alone is above 26 dB), and a trained one does not:

* A batch norm has a gain of 1 and an offset of {OFFSET:g}, in standard deviations: the ReLU behind cuts little off.
* One that ends a residual branch, which is found in the recorded graph, has a gain of {BRANCH:g} and no offset.
* Means and variances are those of the calibration batches, {BATCHES} of {SAMPLES} samples.
* Class tokens are normal with a deviation of {TOKEN:g}, as large as what is beside them; matrices that a package leaves
  at zero (heads) with one of {HEAD:g}.

Everything else stays as their packages initialise them. Samples are standard normal; half the power of a
picture lies in the lowest eighth of its frequencies."""
