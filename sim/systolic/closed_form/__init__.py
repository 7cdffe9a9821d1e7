"""Cycles and accesses without a walk over them; shares no code with the engine but the schedule."""
