"""The task model: compose, fit, evaluate, predict, save."""
