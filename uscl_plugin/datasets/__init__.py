"""Datasets of ultrasound videos, their transforms, and the readers of clips."""
