"""Editing of videos by diffusion and flow models: DFVEdit, FreeMask and what they are compared with."""
