"""Models that run without PyTorch, such as those beside a scanner."""
