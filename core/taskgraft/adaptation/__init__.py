"""Adaptation of a backbone: inserted modules, trainable tensors, the weight guard, merging."""
