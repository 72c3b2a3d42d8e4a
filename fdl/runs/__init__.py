"""The run folder and its contents: checkpoints, metrics, logs, locks, reports."""
