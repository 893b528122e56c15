"""Artifacts: saved task models, verified when they are loaded; export of plain checkpoints."""
