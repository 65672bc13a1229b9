"""Clips and folders of frames: found, decoded, stored, reported."""
