"""Datasets of ultrasound videos and their transforms.

Only :mod:`uscl_plugin.datasets.video_clusters` needs MMPretrain, so it is not imported here.
"""
