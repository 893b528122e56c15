"""Rows to batches: preprocessing, caching, augmentation."""
