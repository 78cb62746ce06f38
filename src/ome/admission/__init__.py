"""Defaulting, validation and pod mutation, as functions of (object, old object, read-only view)."""
