"""The baselines that the core brings: honest rivals, which learn from the same rows as the model."""
