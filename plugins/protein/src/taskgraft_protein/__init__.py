"""Protein backbones, readers, splits and baselines for taskgraft."""
