"""Strategies on the peft library. What it provides stands in plugin.py."""
