"""Convert POCUS, from a clone of its repository or from pickled folds."""
