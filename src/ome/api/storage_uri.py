"""Storage URIs: where a model's files, a dataset or results are.

Every form that published objects use is understood::

    hf://ORG/MODEL[@REVISION][/SUBFOLDER]     oci://n/NAMESPACE/b/BUCKET/o/PREFIX
    s3://BUCKET[@REGION][/PREFIX]             oci://NAMESPACE@REGION/BUCKET[/PREFIX]
    gs://BUCKET[/PREFIX]                      oci://BUCKET[/PREFIX]
    az://ACCOUNT[.blob.core.windows.net]/CONTAINER[/PREFIX]
    github://OWNER/REPOSITORY[@TAG]           pvc://[NAMESPACE:]CLAIM/SUBPATH
    vendor://VENDOR/TYPE/PATH                 local:///ABSOLUTE/PATH

``parse`` raises :class:`StorageURIError`, whose text says what is wrong and shows the right form.
A path that climbs (``..``) or carries control characters is refused in every scheme.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

FORMS: Final = {
    "hf": "hf://ORG/MODEL[@REVISION]",
    "oci": "oci://n/NAMESPACE/b/BUCKET/o/PREFIX",
    "s3": "s3://BUCKET[@REGION]/PREFIX",
    "gs": "gs://BUCKET/PREFIX",
    "az": "az://ACCOUNT/CONTAINER/PREFIX",
    "github": "github://OWNER/REPOSITORY[@TAG]",
    "pvc": "pvc://[NAMESPACE:]CLAIM/SUBPATH",
    "vendor": "vendor://VENDOR/TYPE/PATH",
    "local": "local:///ABSOLUTE/PATH",
}
_LONGEST: Final = 4096
_AZURE: Final = ".blob.core.windows.net"
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class StorageURIError(ValueError):
    """A URI that names no place; the text is a sentence with the right form."""


@dataclass(frozen=True, slots=True)
class StorageURI:
    """A storage URI in pieces. What a scheme does not have is empty.

    ``container`` is the repository (hf, github: ``owner/name``), bucket, claim or vendor; ``path``
    what follows it. ``revision`` is a branch, tag or commit; ``namespace`` that of a claim or of
    Oracle's object storage; ``account`` Azure's storage account.
    """

    scheme: str
    uri: str
    container: str = ""
    path: str = ""
    revision: str = ""
    region: str = ""
    account: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        return self.uri


def parse(uri: str) -> StorageURI:
    """The pieces of a storage URI. Raises :class:`StorageURIError`."""
    if len(uri) > _LONGEST:
        raise StorageURIError(f"a storage URI of {len(uri)} characters is too long")
    if _CONTROL.search(uri):
        raise StorageURIError("a storage URI must not contain control characters")
    scheme, found, rest = uri.partition("://")
    if not found or scheme not in _PARSERS:
        known = ", ".join(f"{name}://" for name in FORMS)
        raise StorageURIError(f"{uri!r} has no scheme that models come from; known: {known}")
    if not rest.strip("/"):
        raise _wrong(uri, scheme, "names nothing")
    if ".." in rest.replace("@", "/").split("/"):
        raise _wrong(uri, scheme, "must not climb with '..'")
    return _PARSERS[scheme](StorageURI(scheme, uri), rest)


def _wrong(uri: str, scheme: str, what: str) -> StorageURIError:
    return StorageURIError(f"{uri!r} {what}; write {FORMS[scheme]}")


def _hf(uri: StorageURI, rest: str) -> StorageURI:
    repository, at, revision = rest.partition("@")
    revision, folder = _revision(revision)
    parts = repository.strip("/").split("/")
    if not all(parts):
        raise _wrong(uri.uri, "hf", "has an empty part")
    if at and not revision:
        raise _wrong(uri.uri, "hf", "has nothing after @")
    inner = [*parts[2:], *(p for p in folder.split("/") if p)]
    return replace(
        uri, container="/".join(parts[:2]), path="/".join(inner), revision=revision or "main"
    )


def _revision(text: str) -> tuple[str, str]:
    """A revision and the folder after it. Only the hub's ``refs/pr/3`` has slashes of its own."""
    parts = text.split("/")
    length = 3 if parts[0] == "refs" else 1
    return "/".join(parts[:length]), "/".join(parts[length:])


def _oci(uri: StorageURI, rest: str) -> StorageURI:
    parts = rest.split("/")
    if parts[0] == "n" and len(parts) >= 3 and parts[2] == "b":
        if len(parts) < 4 or not parts[1] or not parts[3]:
            raise _wrong(uri.uri, "oci", "names no namespace or bucket")
        if len(parts) > 4 and parts[4] != "o":
            raise _wrong(uri.uri, "oci", "must have 'o' after the bucket")
        path = "/".join(parts[5:])
        return replace(uri, namespace=parts[1], container=parts[3], path=path)
    namespace, at, region = parts[0].partition("@")
    if at:
        if not (namespace and region and len(parts) > 1 and parts[1]):
            raise _wrong(uri.uri, "oci", "names no namespace, region or bucket")
        path = "/".join(parts[2:])
        return replace(uri, namespace=namespace, region=region, container=parts[1], path=path)
    if not parts[0]:
        raise _wrong(uri.uri, "oci", "names no bucket")
    return replace(uri, container=parts[0], path="/".join(parts[1:]))


def _bucket(uri: StorageURI, rest: str) -> StorageURI:
    first, _, path = rest.partition("/")
    bucket, at, region = first.partition("@") if uri.scheme == "s3" else (first, "", "")
    if not bucket or (at and not region):
        raise _wrong(
            uri.uri, uri.scheme, "names no bucket" if not bucket else "has an empty region"
        )
    return replace(uri, container=bucket, region=region, path=path)


def _azure(uri: StorageURI, rest: str) -> StorageURI:
    account, _, inner = rest.partition("/")
    container, _, path = inner.partition("/")
    account = account.removesuffix(_AZURE)
    if not account or not container:
        raise _wrong(uri.uri, "az", "names no account or container")
    return replace(uri, account=account, container=container, path=path)


def _github(uri: StorageURI, rest: str) -> StorageURI:
    repository, at, tag = rest.partition("@")
    parts = repository.split("/")
    if len(parts) != 2 or not all(parts) or (at and not tag):
        raise _wrong(uri.uri, "github", "names no repository")
    return replace(uri, container=repository, revision=tag or "latest")


def _claim(uri: StorageURI, rest: str) -> StorageURI:
    first, slash, path = rest.partition("/")
    if not slash or not path:
        raise _wrong(uri.uri, "pvc", "has no path inside the claim")
    namespace, colon, claim = first.rpartition(":")
    if colon and not _NAMESPACE.fullmatch(namespace):
        raise _wrong(uri.uri, "pvc", f"names no namespace with {namespace!r}")
    if not claim:
        raise _wrong(uri.uri, "pvc", "names no claim")
    return replace(uri, namespace=namespace, container=claim, path=path)


def _vendor(uri: StorageURI, rest: str) -> StorageURI:
    vendor, _, path = rest.partition("/")
    kind, _, inner = path.partition("/")
    if not (vendor and kind and inner):
        raise _wrong(uri.uri, "vendor", "must have three parts")
    return replace(uri, container=vendor, path=path)


def _local(uri: StorageURI, rest: str) -> StorageURI:
    return replace(uri, path=rest)


_PARSERS: Final[dict[str, Callable[[StorageURI, str], StorageURI]]] = {
    "hf": _hf,
    "oci": _oci,
    "s3": _bucket,
    "gs": _bucket,
    "az": _azure,
    "github": _github,
    "pvc": _claim,
    "vendor": _vendor,
    "local": _local,
}
