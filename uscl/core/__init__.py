"""Shared by every other package: files, errors, names, seeds, processes."""
