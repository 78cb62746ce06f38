"""Fakes that speak real HTTP: what tests use instead of mocks."""
