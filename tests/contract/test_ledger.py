"""The ledger is whole, and what is open only ever becomes less."""

from __future__ import annotations

from collections import Counter

from tests.contract.cases import DEPRECATED, REFUSED, all_cases
from tests.contract.ledger import (
    COMMITTED,
    NOBODY,
    fields_by_state,
    ledger,
    open_lines,
    report,
    superfluous,
    unknown,
)
from tests.contract.places import contract_fields, places


def test_every_field_of_the_contract_is_in_the_ledger_at_every_place() -> None:
    fields = contract_fields()
    assert len(fields) == 272
    assert [name for name, mine in fields.items() if not mine] == []
    assert fields_by_state().total() == 272
    assert [line.place for line in ledger()] == list(places())


def test_cases_are_about_fields_that_there_are() -> None:
    assert unknown() == []


def test_no_two_cases_have_one_name() -> None:
    twice = [id_ for id_, count in Counter(c.id for c in all_cases()).items() if count > 1]
    assert twice == []


def test_what_is_refused_or_deprecated_has_a_reason() -> None:
    assert [c.id for c in all_cases() if c.state in (REFUSED, DEPRECATED) and not c.why] == []


def test_what_is_open_names_the_feature_that_is_missing() -> None:
    assert [line.place.id for line in open_lines() if line.proof == NOBODY] == []


def test_notes_about_open_fields_go_when_the_fields_are_proven() -> None:
    assert superfluous() == []


def test_the_number_of_open_fields_only_shrinks() -> None:
    committed, now = int(COMMITTED.read_text()), len(open_lines())
    assert now <= committed, f"{now} fields are open, {committed} were: see make contract"
    assert now >= committed, f"lower the committed number in {COMMITTED.name} to {now}"


def test_the_report_names_every_open_field() -> None:
    text = "\n".join(report())
    assert all(line.place.id in text for line in open_lines())
