"""Inputs to predict for."""
