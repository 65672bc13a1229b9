"""Pretrain with several methods on equal terms and judge them all alike."""
