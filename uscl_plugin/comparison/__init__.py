"""Pretrain with several methods under equal conditions and evaluate them all in the same way."""
