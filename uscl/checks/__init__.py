"""Is there a leak between training and test? Checks of data folders, see ``tools/analysis/check_dataset.py``."""
