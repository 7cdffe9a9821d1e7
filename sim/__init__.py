"""Codeword's ground floor: networks of integers, accelerators, cycle engine, closed form, cost."""
