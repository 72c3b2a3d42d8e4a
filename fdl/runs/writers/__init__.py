"""Writers of a run's metrics: its own files, trackers of other packages, and those that users write."""
