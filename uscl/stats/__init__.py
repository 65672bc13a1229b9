"""Metrics of predictions and features, intervals over patients, and summaries."""
