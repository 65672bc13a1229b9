"""Evaluation of pretrained representations."""
