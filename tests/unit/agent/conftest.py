"""The hub of the storage tests, for the agent's."""

from tests.unit.storage.conftest import hub

__all__ = ["hub"]
