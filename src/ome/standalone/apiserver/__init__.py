"""A Kubernetes API over SQLite. Knows nothing of OME."""
