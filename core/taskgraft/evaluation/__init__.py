"""Evaluation: metrics with bootstrap intervals, scores per class, baselines."""
