"""Checkpoints: read without executing code, recognise, write, export to other libraries and import from them."""
