"""The one exception of rendering: a service that can't be rendered, and what to do about it."""

from __future__ import annotations


class RenderError(Exception):
    """Nothing can be rendered until somebody changes ``field``.

    ``code`` is a reason of :mod:`ome.api.reasons`; the controller puts all of it into the status.
    """

    def __init__(self, code: str, message: str, *, field: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.fix = fix
