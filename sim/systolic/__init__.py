"""The systolic machine: schedule, mapping, weight streams, engine and closed form."""
