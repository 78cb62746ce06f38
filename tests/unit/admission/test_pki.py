"""Certificates of the webhooks: when they are renewed, and what stays trusted."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.kube.certificates import Authority

from ome.admission import pki

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = ("ome-webhook-server-service.ome.svc", "127.0.0.1")
LIFETIMES = pki.Lifetimes()
FIELDS = ("tls.crt", "tls.key", "ca.crt", "ca.key")


def renew(data: dict[str, str], now: datetime = NOW, names: Any = NAMES) -> dict[str, str] | None:
    return pki.renew(data, names, now, LIFETIMES)


def made(now: datetime = NOW, names: Any = NAMES) -> dict[str, str]:
    found = renew({}, now, names)
    assert found is not None
    return found


def certificate(data: dict[str, str], name: str = "tls.crt") -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(data[name]))


def authorities(data: dict[str, str]) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(base64.b64decode(data["ca.crt"]))


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def test_what_is_made_is_good_until_shortly_before_its_end() -> None:
    data = made()
    assert renew(data) is None
    end = NOW + LIFETIMES.serving
    assert renew(data, end - LIFETIMES.renew_serving - timedelta(hours=1)) is None
    assert renew(data, end - LIFETIMES.renew_serving + timedelta(hours=1)) is not None


def test_the_certificate_is_signed_by_the_authority_and_bears_the_names() -> None:
    data = made()
    certificate(data).verify_directly_issued_by(authorities(data)[0])
    names = certificate(data).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == [NAMES[0]]
    assert [str(a) for a in names.value.get_values_for_type(x509.IPAddress)] == [NAMES[1]]


def test_renewing_the_certificate_keeps_the_authority() -> None:
    before = made()
    after = renew(before, NOW + timedelta(days=80))
    assert after is not None
    assert after["ca.crt"] == before["ca.crt"]
    assert after["tls.crt"] != before["tls.crt"]


def test_a_new_authority_comes_before_the_old_one_which_stays_trusted() -> None:
    before = made()
    late = NOW + LIFETIMES.authority - LIFETIMES.renew_authority + timedelta(days=1)
    after = renew(before, late)
    assert after is not None
    new, old = authorities(after)
    assert old == authorities(before)[0]
    certificate(after).verify_directly_issued_by(new)
    assert new.subject != old.subject
    assert renew(after, late) is None
    gone = renew(after, NOW + LIFETIMES.authority + timedelta(days=1))
    assert gone is not None
    assert authorities(gone) == [new]


def test_another_name_is_added_and_none_is_taken_away() -> None:
    first = made(names=["a.ome.svc"])
    both = renew(first, names=["b.ome.svc"])
    assert both is not None
    assert renew(both, names=["a.ome.svc"]) is None
    assert renew(both, names=["b.ome.svc"]) is None


def test_the_certificate_of_an_earlier_manager_is_replaced_and_its_authority_stays_trusted() -> (
    None
):
    authority = Authority()
    now = datetime.now(UTC)
    pair = authority.issue("old", host=NAMES[0])
    theirs = {
        "tls.crt": encoded(pair.certificate),
        "tls.key": encoded(pair.key),
        "ca.crt": encoded(authority.pem),
    }
    ours = renew(theirs, now)
    assert ours is not None
    assert authority.pem in base64.b64decode(ours["ca.crt"])
    assert len(authorities(ours)) == 2


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", ["", "%%%", encoded(b"nonsense"), "other"])
def test_what_does_not_fit_together_is_replaced(field: str, value: str) -> None:
    broken = {**made(), field: made()[field] if value == "other" else value}
    repaired = renew(broken)
    assert repaired is not None
    assert renew(repaired) is None


def test_a_certificate_from_the_future_is_replaced() -> None:
    assert renew(made(NOW + timedelta(days=400))) is not None


@settings(deadline=None, max_examples=25)  # each example makes keys
@given(st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=30)))
def test_no_data_makes_it_raise(data: dict[str, str]) -> None:
    repaired = renew(data)
    assert repaired is not None
    assert renew(repaired) is None
