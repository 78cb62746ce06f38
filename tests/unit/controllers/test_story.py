"""Which statuses may wait a second, because they tell of the way and not of where it leads."""

from __future__ import annotations

from typing import Any

from ome.controllers.story import is_progress

Object = dict[str, Any]


def status(reason: str, *, ready: str = "False", generation: int = 1, text: str = "") -> Object:
    entry = {"type": "Ready", "status": ready, "reason": reason, "message": text}
    return {"observedGeneration": generation, "url": "http://s", "conditions": [entry]}


def test_the_first_status_and_the_one_of_a_new_generation_do_not_wait() -> None:
    assert not is_progress({}, status("Creating"))
    assert not is_progress(status("Creating"), status("Creating", generation=2))


def test_stages_on_the_way_wait() -> None:
    assert is_progress(status("Creating"), status("Starting"))
    assert is_progress(status("Creating", text="0 of 2"), status("Creating", text="1 of 2"))


def test_ready_and_what_is_wrong_do_not_wait() -> None:
    assert not is_progress(status("Starting"), status("Serving", ready="True"))
    assert not is_progress(status("Serving", ready="True"), status("Starting"))
    assert not is_progress(status("Starting"), status("CrashLoopBackOff"))
    assert not is_progress(status("CrashLoopBackOff"), status("Starting"))
