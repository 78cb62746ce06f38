"""What may be called what: names, label keys and values, keys of ConfigMaps, port names.

Every checker returns the problems it found, as sentences; an empty list means the value is fine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ome.apimachinery.errors import FieldError

MAX_LABEL: Final = 63
MAX_SUBDOMAIN: Final = 253
MAX_ANNOTATIONS: Final = 256 * 1024

_DNS_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_DNS_LABEL_1035: Final = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(
    r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*"
)
_QUALIFIED: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_ENV_NAME: Final = re.compile(r"[ -<>-~]+")
_PORT_NAME: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9])*")


def _shape(value: str, pattern: re.Pattern[str], longest: int, words: str) -> list[str]:
    problems = []
    if len(value) > longest:
        problems.append(f"must be no more than {longest} characters")
    if not pattern.fullmatch(value):
        problems.append(f"{words} (regex used for validation is '{pattern.pattern}')")
    return problems


def dns_label(value: str) -> list[str]:
    """RFC 1123 label: names of namespaces, containers, volumes."""
    return _shape(
        value,
        _DNS_LABEL,
        MAX_LABEL,
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and"
        " must start and end with an alphanumeric character",
    )


def dns_label_1035(value: str) -> list[str]:
    """RFC 1035 label: starts with a letter. Names of Services."""
    return _shape(
        value,
        _DNS_LABEL_1035,
        MAX_LABEL,
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
        " alphabetic character, and end with an alphanumeric character",
    )


def dns_subdomain(value: str) -> list[str]:
    """RFC 1123 subdomain: the names of most kinds."""
    return _shape(
        value,
        _SUBDOMAIN,
        MAX_SUBDOMAIN,
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
        " '.', and must start and end with an alphanumeric character",
    )


def path_segment(value: str) -> list[str]:
    """Names of RBAC kinds: anything that is one segment of a URL path."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{bad}'" for bad in ("/", "%") if bad in value]


def label_key(value: str) -> list[str]:
    """``name`` or ``prefix.example/name``: keys of labels, annotations and extended resources."""
    prefix, slash, name = value.rpartition("/")
    problems = []
    if slash:
        if not prefix:
            problems.append("prefix part must be non-empty")
        else:
            problems += [f"prefix part {p}" for p in dns_subdomain(prefix)]
    if not name:
        return [*problems, "name part must be non-empty"]
    return problems + [
        f"name part {p}"
        for p in _shape(
            name,
            _QUALIFIED,
            MAX_LABEL,
            "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with"
            " an alphanumeric character",
        )
    ]


def label_value(value: str) -> list[str]:
    if value == "":
        return []
    return _shape(
        value,
        _QUALIFIED,
        MAX_LABEL,
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or"
        " '.', and must start and end with an alphanumeric character",
    )


def config_key(value: str) -> list[str]:
    """Keys of ``data`` in ConfigMaps and Secrets."""
    problems = _shape(
        value,
        _CONFIG_KEY,
        MAX_SUBDOMAIN,
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    )
    if value in (".", ".."):
        problems.append(f"must not be '{value}'")
    elif value.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def env_name(value: str) -> list[str]:
    """Names of environment variables: printable ASCII without ``=``."""
    if _ENV_NAME.fullmatch(value):
        return []
    return ["a valid environment variable name must consist only of printable ASCII, without '='"]


def port_name(value: str) -> list[str]:
    problems = []
    if len(value) > 15:
        problems.append("must be no more than 15 characters")
    if not _PORT_NAME.fullmatch(value) or not re.search("[a-z]", value):
        problems.append(
            "must contain only lower case alphanumeric characters and single '-' between them, and"
            " at least one letter"
        )
    return problems


def check_labels(labels: Mapping[str, object], path: str) -> list[FieldError]:
    """Problems of a label map at ``path``."""
    found = []
    for key, value in labels.items():
        found += [FieldError(path, f'Invalid value: "{key}": {p}') for p in label_key(key)]
        if isinstance(value, str):
            found += [
                FieldError(path, f'Invalid value: "{value}": {p}') for p in label_value(value)
            ]
    return found


def check_annotations(annotations: Mapping[str, object], path: str) -> list[FieldError]:
    """Problems of an annotation map at ``path``: keys like labels (in any case), size in all."""
    found = []
    total = 0
    for key, value in annotations.items():
        total += len(key) + (len(value.encode()) if isinstance(value, str) else 0)
        found += [FieldError(path, f'Invalid value: "{key}": {p}') for p in label_key(key.lower())]
    if total > MAX_ANNOTATIONS:
        found.append(
            FieldError(path, f"Too long: may not be more than {MAX_ANNOTATIONS} bytes",
                       "FieldValueTooLong")
        )  # fmt: skip
    return found
