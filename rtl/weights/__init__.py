"""The weight path: the loader, from beats of the stream to rows of the WRF, and its codebooks."""
