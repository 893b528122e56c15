"""Child processes: work mapped over them, results sent back, and an end with their parent."""
