"""What taskgraft-fraud provides. Start reading here; no model code is imported."""

TASKGRAFT_CONTRACT = "1.0"
