"""The metrics that the core brings, computed by torchmetrics."""
