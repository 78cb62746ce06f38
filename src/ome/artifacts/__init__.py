"""What model files say about themselves. Reads headers only and never runs model code."""
