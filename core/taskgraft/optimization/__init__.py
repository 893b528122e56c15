"""One optimizer step: gradients, optimizers, learning rates."""
