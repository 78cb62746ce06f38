"""Talking to any Kubernetes API: client, reflector, cache, work queue, lease, events."""
