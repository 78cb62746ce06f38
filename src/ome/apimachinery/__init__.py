"""Kubernetes' object rules, as pure functions. Knows nothing of OME, of clocks or of sockets."""
