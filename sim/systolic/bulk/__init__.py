"""The closed form and the mapping search over arrays of layers and machines, in compiled code.

It says the same as `sim.systolic.closed_form` and `sim.systolic.mapping`, to the bit: those are the reference, for one
layer at a time and without a wait for the compiler; tests hold the two equal. It shares no formula with them.
"""
