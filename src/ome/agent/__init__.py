"""Keeps a node's models on its disk and reports what it has."""
