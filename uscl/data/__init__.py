"""Data folders: annotation, splits and folds, the frame store, and what sample pair generation draws from them."""
