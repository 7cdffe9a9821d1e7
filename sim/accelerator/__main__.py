"""`python -m sim.accelerator` prints docs/accelerator.md: every field, from its own description."""

from sim.accelerator.page import page

print(page(), end="")
