"""The webhooks' own certificate authority, as a function: (stored, wanted, now) -> what to store.

The state is the ``data`` of a Secret: ``tls.crt`` and ``tls.key`` (what the server presents),
``ca.crt`` (what clients trust: the present authority first, former ones after it) and ``ca.key``.

* The serving certificate is renewed well before it ends, and when it lacks a name.
* The authority is renewed while it still outlives every certificate that it signs. The former one
  stays in ``ca.crt``, so that replicas which still present an older certificate are trusted.
* What can't be read, doesn't fit together or came from somewhere else (an earlier manager's Secret
  has no ``ca.key``) is replaced; authorities in ``ca.crt`` that are still good stay trusted.

``cryptography`` is heavy and imported only when something is looked at.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
CA: Final = "ca.crt"
CA_KEY: Final = "ca.key"
_MOST_NAMES: Final = 50
_MOST_AUTHORITIES: Final = 3
_SKEW: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """``renew_*`` is how long before its end something is renewed."""

    serving: timedelta = timedelta(days=90)
    renew_serving: timedelta = timedelta(days=30)
    authority: timedelta = timedelta(days=3650)
    renew_authority: timedelta = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM. ``authorities`` is what a client has to trust."""

    certificate: bytes
    key: bytes
    authorities: bytes


def identity(data: Mapping[str, str]) -> Identity:
    """What the data of a Secret holds. Raises KeyError or ValueError where that is nothing."""
    return Identity(*(base64.b64decode(data[name]) for name in (CERTIFICATE, KEY, CA)))


def renew(
    data: Mapping[str, str], names: Sequence[str], now: datetime, lifetimes: Lifetimes
) -> dict[str, str] | None:
    """The data to store instead, or None where what is stored is good.

    ``names`` are host names and IP addresses that the certificate must be good for.
    """
    authority = _Authority.read(data, now)
    trusted = _trusted(data, now)
    if authority is None or authority.ends - now < lifetimes.renew_authority:
        authority = _Authority.make(now, lifetimes.authority)
        present: set[str] = set()
    else:
        present = _good_names(data, authority, now + lifetimes.renew_serving)
    if set(names) <= present:
        return None
    # Replicas may be reached under different names: none takes away another's.
    wanted = [*dict.fromkeys([*names, *sorted(present)])][:_MOST_NAMES]
    certificate, key = authority.issue(wanted, now, lifetimes.serving)
    authorities = [authority.pem, *(pem for pem in trusted if pem != authority.pem)]
    fresh = {
        CERTIFICATE: certificate,
        KEY: key,
        CA: b"".join(authorities[:_MOST_AUTHORITIES]),
        CA_KEY: authority.key_pem,
    }
    return {name: base64.b64encode(value).decode() for name, value in fresh.items()}


class _Authority:
    """A certificate authority with its key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        from cryptography.hazmat.primitives import serialization

        self.certificate = certificate
        self._key = key
        self.ends = certificate.not_valid_after_utc
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.key_pem = _key_pem(key)

    @classmethod
    def read(cls, data: Mapping[str, str], now: datetime) -> _Authority | None:
        """The stored one: the first of ``ca.crt``, if ``ca.key`` is its key and it is valid."""
        key = _load_key(data.get(CA_KEY))
        certificates = _load(data.get(CA))
        if key is None or not certificates:
            return None
        first = certificates[0]
        if first.public_key() != key.public_key() or not _valid(first, now):
            return None
        return cls(first, key)

    @classmethod
    def make(cls, now: datetime, lifetime: timedelta) -> _Authority:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        # The serial number in the name tells authorities apart that follow each other.
        serial = x509.random_serial_number()
        name = _name(f"ome-webhook-ca-{serial % 0xFFFFFFFF:08x}")
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = _builder(name, name, key.public_key(), serial, now, lifetime)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        builder = builder.add_extension(usage, critical=True)
        return cls(_sign(builder.add_extension(subject, critical=False), key), key)

    def issue(
        self, names: Sequence[str], now: datetime, lifetime: timedelta
    ) -> tuple[bytes, bytes]:
        """Certificate and key for a server with these names."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key()
        subject = _name("ome-webhook-server")
        serial = x509.random_serial_number()
        builder = _builder(
            subject, self.certificate.subject, key.public_key(), serial, now, lifetime
        )
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.SubjectAlternativeName([_general_name(name) for name in names]), False),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        signed = _sign(builder, self._key)
        return signed.public_bytes(serialization.Encoding.PEM), _key_pem(key)


def _good_names(data: Mapping[str, str], authority: _Authority, until: datetime) -> set[str]:
    """The names of the stored certificate, if it is the authority's and good until then."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    certificates, key = _load(data.get(CERTIFICATE)), _load_key(data.get(KEY))
    if not certificates or key is None:
        return set()
    certificate = certificates[0]
    try:
        certificate.verify_directly_issued_by(authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return set()
    if certificate.public_key() != key.public_key() or not _valid(certificate, until):
        return set()
    hosts = names.get_values_for_type(x509.DNSName)
    return {*hosts, *(str(ip) for ip in names.get_values_for_type(x509.IPAddress))}


def _trusted(data: Mapping[str, str], now: datetime) -> list[bytes]:
    from cryptography.hazmat.primitives import serialization

    return [
        certificate.public_bytes(serialization.Encoding.PEM)
        for certificate in _load(data.get(CA))
        if _valid(certificate, now)
    ]


def _valid(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at < certificate.not_valid_after_utc


def _load(text: str | None) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(base64.b64decode(text or ""))
    except (ValueError, binascii.Error):
        return []


def _load_key(text: str | None) -> ec.EllipticCurvePrivateKey | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_private_key(base64.b64decode(text or ""), None)
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    serial: int,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + lifetime)
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography.hazmat.primitives import hashes

    return builder.sign(key, hashes.SHA256())


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
