"""Reports: `train` makes runs, `text` renders what they found."""
