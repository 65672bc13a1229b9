"""Measures of a representation."""
