"""Strategies on the peft library. The module ``plugin`` lists what it provides."""
