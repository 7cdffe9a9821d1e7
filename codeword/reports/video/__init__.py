"""DFVEdit, FreeMask, attention injection and SDEdit on made clips, and what they take of machines."""
