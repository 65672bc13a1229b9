"""Whole models in one file, from frames to probabilities, for other runtimes."""
