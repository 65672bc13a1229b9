"""Datasets of ultrasound videos, their transforms, and the readers of clips.

Only :mod:`uscl_plugin.datasets.video_clusters` needs MMPretrain, so it is not imported here.
"""
