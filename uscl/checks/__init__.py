"""Checks of data folders for leakage between training and test, see ``tools/analysis/check_dataset.py``."""
