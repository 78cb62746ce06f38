"""Forms (``multipart/form-data``), as audio transcriptions are sent: finding the model's name.

A form may be a large file, so it isn't read whole: it is read until the part called ``model`` has
come, and what follows is passed on as it comes. Clients send plain fields first, so that is a few
hundred bytes as a rule. Only the bytes of the model's name are ever replaced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import Message

_NAME = re.compile(rb'(?<![\w*-])name=(?:"((?:[^"\\]|\\.)*)"|([^\s;]+))', re.IGNORECASE)
_MOST_HEADERS = 16 * 1024
_LONGEST_NAME = 1024


class BadForm(Exception):  # noqa: N818 - what is wrong with the client's form
    """Not a form, in words for the client."""


def boundary_of(content_type: str) -> bytes:
    """Raises BadForm where there is none."""
    message = Message()
    message["Content-Type"] = content_type
    found = message.get_param("boundary")
    if not isinstance(found, str) or not 0 < len(found) <= 70:
        raise BadForm("the Content-Type names no boundary")
    return found.encode("latin-1", "replace")


@dataclass(slots=True)
class ModelFinder:
    """Fed with a form piece by piece; ``span`` says where the model's name lies in ``read``."""

    boundary: bytes
    read: bytearray = field(default_factory=bytearray)
    span: tuple[int, int] | None = None
    ended: bool = False
    """The form's end has come without a model."""
    _at: int = 0
    _searched: int = 0
    _inside: bool | None = None
    """None before the first boundary and between a boundary and the end of its headers; then
    whether the part is the model's."""

    def feed(self, chunk: bytes) -> bool:
        """True when there is nothing more to look for."""
        self.read += chunk
        while self.span is None and not self.ended:
            if not (self._headers() if self._inside is None else self._content()):
                return False
        return True

    @property
    def model(self) -> str:
        if self.span is None:
            return ""
        try:
            return bytes(self.read[slice(*self.span)]).decode().strip()
        except UnicodeDecodeError:
            raise BadForm("the model's name is not UTF-8") from None

    def with_model(self, name: str) -> bytes:
        """What has been read, with another name for the model."""
        assert self.span is not None
        start, end = self.span
        return bytes(self.read[:start]) + name.encode() + bytes(self.read[end:])

    def _headers(self) -> bool:
        """Past a boundary and the headers of its part."""
        mark = b"--" + self.boundary
        start = self.read.find(mark, self._at)
        if start < 0:
            if not self._at and len(self.read) > _MOST_HEADERS:
                raise BadForm("it does not begin with its boundary")
            return False
        after = start + len(mark)
        if len(self.read) < after + 2:
            return False
        if self.read[after : after + 2] == b"--":
            self.ended = True
            return True
        end = self.read.find(b"\r\n\r\n", after)
        if end < 0:
            if len(self.read) - after > _MOST_HEADERS:
                raise BadForm("the headers of a part are too long")
            return False
        name = _NAME.search(self.read, after, end)
        self._inside = name is not None and (name[1] or name[2]) == b"model"
        self._at = self._searched = end + 4
        return True

    def _content(self) -> bool:
        """To the end of a part."""
        mark = b"\r\n--" + self.boundary
        end = self.read.find(mark, max(self._at - 2, self._searched - len(mark)))
        if end < 0:
            if self._inside and len(self.read) - self._at > _LONGEST_NAME:
                raise BadForm("the model's name is too long")
            self._searched = len(self.read)
            return False
        if self._inside:
            self.span = (self._at, max(self._at, end))
        self._inside = None
        self._at = end + 2
        return True
