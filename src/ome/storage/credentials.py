"""Finding a value in a Secret, whatever its author called the key.

Secrets for the same storage exist with ``AWS_ACCESS_KEY_ID``, ``accessKeyId`` and
``access-key-id``. Names are compared without case and punctuation. What is found here goes into
the request to the storage itself and nowhere else: no message and no log is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping


class Secrets:
    """The values of a Secret. False where it has none."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {_plain(name): value for name, value in values.items() if value}

    def __bool__(self) -> bool:
        return bool(self._values)

    def first(self, *names: str) -> str:
        """The first of these that is there; empty otherwise."""
        return next((self._values[n] for n in map(_plain, names) if n in self._values), "")


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
