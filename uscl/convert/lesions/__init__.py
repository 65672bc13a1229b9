"""Convert breast scans with lesion masks to COCO files."""
