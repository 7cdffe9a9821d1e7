"""What says which token comes next: sequencer, layer controller, counters."""
