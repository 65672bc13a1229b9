"""Measures of predictions and features, intervals over patients, and their summaries."""
