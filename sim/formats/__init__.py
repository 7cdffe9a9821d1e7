"""Weight formats: what a record of the stream holds, bit by bit."""
