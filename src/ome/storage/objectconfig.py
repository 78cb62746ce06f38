"""From a model's parameters and Secret to obstore's settings for one bucket.

Own credentials replace the machine's whole, so that a session token of the environment never goes
with a key of a Secret. Understood parameters: ``region``, ``endpoint``, ``auth: anonymous``.
Secrets may use the names of the environment variables of each cloud or their usual short forms.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ome.storage.credentials import Secrets
from ome.storage.errors import InvalidLocation
from ome.storage.objecterrors import Place
from ome.storage.source import SourceSpec

_RETRIES = {"max_retries": 1, "retry_timeout": timedelta(seconds=60)}
"""The engine retries with its own patience; one more try here bridges a dropped connection."""

_AZURE_HOME = "blob.core.windows.net"


def open_store(spec: SourceSpec) -> tuple[Place, Any]:
    """The bucket, and obstore's handle of it. Raises ``InvalidLocation``."""
    opener = {"s3": _s3, "gs": _google, "az": _azure}[spec.scheme]
    try:
        return opener(spec, _Wanted(spec))
    except InvalidLocation:
        raise
    except Exception as error:
        what = str(error).partition("\n")[0]
        raise InvalidLocation(
            f"{spec.uri} can't be opened: {what}",
            remedy="check the URI, spec.storage.parameters and the Secret",
        ) from error


class _Wanted:
    """What the model's author wants, whatever the cloud."""

    def __init__(self, spec: SourceSpec) -> None:
        self.secrets = Secrets({**_own(spec), **spec.credentials})
        self.endpoint = (spec.parameters.get("endpoint") or self.secrets.first("endpoint")).rstrip(
            "/"
        )
        self.region = (
            spec.region or spec.parameters.get("region", "") or self.secrets.first("region")
        )
        self.anonymous = spec.parameters.get("auth", "").lower() in ("anonymous", "none")
        if self.endpoint and urlsplit(self.endpoint).scheme not in ("http", "https"):
            raise InvalidLocation(
                f"the endpoint of {spec.uri} is no URL: {urlsplit(self.endpoint).netloc!r}",
                remedy="write https://HOST",
            )

    def foreign(self, known: bool) -> bool:
        """Whether the machine's own identity must stay out of it."""
        return self.anonymous or (bool(self.endpoint) and not known)

    def client(self, *environment: str) -> dict[str, Any]:
        endpoint = self.endpoint or next((v for n in environment if (v := os.environ.get(n))), "")
        options: dict[str, Any] = {
            "connect_timeout": timedelta(seconds=10),
            "read_timeout": timedelta(seconds=60),
            "timeout": timedelta(hours=6),
        }
        if endpoint.startswith("http://"):
            options["allow_http"] = True
        return options

    def home(self, usual: str) -> str:
        return urlsplit(self.endpoint).netloc if self.endpoint else usual


def _library() -> Any:
    """Imported when it is first needed, which is in the download worker."""
    return import_module("obstore.store")


def _own(spec: SourceSpec) -> dict[str, str]:
    """Objects exist that carry their token as a parameter; a Secret goes before it."""
    token = spec.parameters.get("token", "")
    return {"token": token} if token else {}


def _always(given: dict[str, Any]) -> Callable[[], dict[str, Any]] | None:
    return (lambda: given) if given else None


def _s3(spec: SourceSpec, wanted: _Wanted) -> tuple[Place, Any]:
    key = wanted.secrets.first("AWS_ACCESS_KEY_ID", "access_key_id", "access_key")
    secret = wanted.secrets.first("AWS_SECRET_ACCESS_KEY", "secret_access_key", "secret_key")
    session = wanted.secrets.first("AWS_SESSION_TOKEN", "session_token")
    if bool(key) != bool(secret):
        raise InvalidLocation(
            f"the Secret for {spec.uri} has only half of a key pair",
            remedy="it needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    config: dict[str, Any] = {}
    if wanted.endpoint:
        config["endpoint"] = wanted.endpoint
    if wanted.region:
        config["region"] = wanted.region
    given: dict[str, Any] = {}
    if key:
        given = {"access_key_id": key, "secret_access_key": secret, "expires_at": None}
        given["token"] = session or None
    elif wanted.foreign(known=False):
        config["skip_signature"] = True
    store = _library().S3Store(
        spec.container,
        config=config,
        client_options=wanted.client("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
        retry_config=_RETRIES,
        credential_provider=_always(given),
    )
    form = f"s3://{spec.container}@REGION/{spec.path}"
    return Place(spec.uri, wanted.home("S3"), f"bucket {spec.container}", form), store


def _google(spec: SourceSpec, wanted: _Wanted) -> tuple[Place, Any]:
    key = wanted.secrets.first(
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "service_account_key",
        "GOOGLE_APPLICATION_CREDENTIALS_JSON",
        "service_account.json",
        "credentials.json",
        "key.json",
    )
    token = wanted.secrets.first("access_token", "bearer_token", "token")
    config: dict[str, Any] = {}
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if emulator and not wanted.endpoint:
        wanted.endpoint = emulator if "://" in emulator else f"http://{emulator}"
    if wanted.endpoint:
        config["base_url"] = wanted.endpoint
    if key:
        config["service_account_key"] = key
    elif token:
        config["bearer_token"] = token
    elif wanted.foreign(known=False):
        config["skip_signature"] = True
    store = _library().GCSStore(
        spec.container, config=config, client_options=wanted.client(), retry_config=_RETRIES
    )
    home = wanted.home("Google Cloud Storage")
    return Place(spec.uri, home, f"bucket {spec.container}", spec.uri), store


def _azure(spec: SourceSpec, wanted: _Wanted) -> tuple[Place, Any]:
    first = wanted.secrets.first
    key = first("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "account_key")
    signature = first("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY", "sas_token")
    token = first("AZURE_STORAGE_TOKEN", "bearer_token", "access_token", "token")
    application = {
        "tenant_id": first("AZURE_TENANT_ID", "AZURE_STORAGE_TENANT_ID", "tenant_id"),
        "client_id": first("AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID", "client_id"),
        "client_secret": first("AZURE_CLIENT_SECRET", "client_secret"),
    }
    config: dict[str, Any] = {"account_name": spec.account}
    if wanted.endpoint:
        config["endpoint"] = wanted.endpoint
    given: dict[str, Any] = {}
    if key:
        given = {"access_key": key, "expires_at": None}
    elif signature:
        given = {"sas_token": signature.removeprefix("?"), "expires_at": None}
    elif all(application.values()):
        config |= {**application, "credential_type": "client_secret"}
    elif token:
        given = {"token": token, "expires_at": None}
    elif wanted.foreign(known=False):
        config["skip_signature"] = True
    store = _library().AzureStore(
        spec.container,
        config=config,
        client_options=wanted.client("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
        retry_config=_RETRIES,
        credential_provider=_always(given),
    )
    home = wanted.home(f"{spec.account}.{_AZURE_HOME}")
    return Place(spec.uri, home, f"container {spec.container}", spec.uri), store
