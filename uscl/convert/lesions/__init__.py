"""Breast scans with masks, to COCO files."""
