"""Every field that the ledger calls proven, refused or deprecated is alive: with it something is
seen that is not seen without it."""

from __future__ import annotations

import pytest
from tests.contract.cases import ABSENT, Case, all_cases


@pytest.mark.parametrize("given", [pytest.param(c, id=c.id) for c in all_cases()])
def test_effect(given: Case) -> None:
    with_field, without = given.seen()
    assert with_field == given.expected, "what the field must lead to"
    assert without != given.expected, "the same is seen without the field, so it proves nothing"
    assert with_field != ABSENT
