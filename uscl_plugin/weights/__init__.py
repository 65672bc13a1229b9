"""Checkpoints: read without executing anything, recognised, written, taken to other libraries and back."""
