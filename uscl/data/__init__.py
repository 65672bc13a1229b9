"""Data folders: annotation, splits and folds, the frame store, and the draws of sample pair generation."""
