"""Where the embedded API server answers otherwise than kube-apiserver on purpose, and why.

By scenario: a pattern (``fnmatch``) of the place in the answers, and the reason.
"""

from __future__ import annotations

KNOWN: dict[str, dict[str, str]] = {}
