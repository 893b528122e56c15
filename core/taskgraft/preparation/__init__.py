"""Preparation: everything that is known before training, and what it says about the data."""
