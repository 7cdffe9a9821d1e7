"""Text that technology files in tests share."""

SOURCED = 'label = "measured"\nsource = "somewhere"\n'
