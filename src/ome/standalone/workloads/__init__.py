"""Deployments, ReplicaSets, endpoints, garbage collection and scheduling on one machine."""
