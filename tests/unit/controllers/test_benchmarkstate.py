"""When a benchmark has been run, by whomever."""

from __future__ import annotations

import pytest

from ome.controllers.benchmarkstate import has_begun, is_final

TIME = "2026-05-06T07:08:09Z"


@pytest.mark.parametrize(
    ("status", "begun", "final"),
    [
        ({}, False, False),
        ({"state": "Pending"}, False, False),
        # The implementation before this one often left the times out.
        ({"state": "Running"}, True, False),
        ({"state": "Completed"}, False, True),
        ({"state": "Failed", "completionTime": TIME}, False, True),
        ({"state": "Failed"}, False, False),
        ({"state": "Running", "startTime": TIME}, True, False),
    ],
)
def test_what_was_measured_is_not_measured_again(
    status: dict[str, str], begun: bool, final: bool
) -> None:
    assert has_begun({"status": status}) is begun
    assert is_final({"status": status}) is final
