"""Readers of clips and writers of frames: no OpenMMLab package is needed here."""
