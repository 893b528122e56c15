"""Rows to batches: reading, splitting, preprocessing, caching, augmentation."""
