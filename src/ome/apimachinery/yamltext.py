"""How deep a YAML text nests, and whether it uses aliases: to be known before it is loaded.

The fast loader is C code that calls itself for every level; a few hundred kilobytes of ``[[[[`` end
the whole process there, without an exception. The parser below it makes events one after the other
and has no such limit, so it can be asked first.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import yaml

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENING: Final = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING: Final = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_TOO_SHORT: Final = 2
"""Characters that each level takes at least, counting what closes it or ends its line."""


class Outline(NamedTuple):
    """``line`` is where the text was found too deep (from 1), 0 if it is not."""

    line: int = 0
    aliases: bool = False


def outline(text: str | bytes, deepest: int) -> Outline:
    """Looks at the text as far as needed. Raises ``yaml.YAMLError`` where it is no YAML."""
    star = b"*" if isinstance(text, bytes) else "*"
    if len(text) <= deepest * _TOO_SHORT and star not in text:  # type: ignore[operator]
        return Outline()
    depth, aliases = 0, False
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, _OPENING):
            depth += 1
            if depth > deepest:
                return Outline(event.start_mark.line + 1 if event.start_mark else 1, aliases)
        elif isinstance(event, _CLOSING):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases = True
    return Outline(0, aliases)
