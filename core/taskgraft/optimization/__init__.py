"""One optimizer step: gradients, optimizers, schedules, and the callbacks that follow a stage."""
