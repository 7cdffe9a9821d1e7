"""Published hardware figures of MVQ, SSVQ and VQ4ALL against one machine of ours."""
