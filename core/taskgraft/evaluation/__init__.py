"""Evaluation: metrics with bootstrap intervals, numbers per class, baselines."""
