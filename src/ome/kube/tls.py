"""TLS contexts for the client."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

from ome.kube.endpoint import Credential, Endpoint
from ome.kube.errors import ConfigError


def client_context(endpoint: Endpoint, credential: Credential) -> ssl.SSLContext:
    """The context that ``endpoint`` and ``credential`` ask for. Raises ConfigError."""
    where = f" ({endpoint.source})" if endpoint.source else ""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if endpoint.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not endpoint.ca:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cadata=endpoint.ca.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"certificate-authority{where} is not a PEM certificate: {error}"
            ) from error
    if credential.certificate:
        _load_identity(context, credential, where)
    return context


def _load_identity(context: ssl.SSLContext, credential: Credential, where: str) -> None:
    """ssl takes a certificate from a file only: a private one that is gone a moment later."""
    handle, name = tempfile.mkstemp(prefix="client-", suffix=".pem")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(credential.certificate.rstrip(b"\n") + b"\n" + credential.key)
        context.load_cert_chain(name)
    except ssl.SSLError as error:
        raise ConfigError(
            f"client-certificate and client-key{where} do not fit together or are not PEM: {error}"
        ) from error
    finally:
        Path(name).unlink(missing_ok=True)
