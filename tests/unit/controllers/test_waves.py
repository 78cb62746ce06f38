"""No slot is lost, whatever ends in which order."""

from __future__ import annotations

import random

import pytest

from ome.apimachinery.objects import Key
from ome.controllers.waves import Waves


def key(number: int) -> Key:
    return Key("default", f"s-{number}")


def test_two_slots_that_get_free_at_once_wake_two() -> None:
    waves = Waves()
    for number in range(6):
        waves.acquire(key(number), 2)
    assert waves.release(key(0)) == [key(2)]
    assert waves.release(key(1)) == [key(2), key(3)]  # 2 has not taken its slot yet


def test_who_no_longer_wants_its_turn_hands_it_on() -> None:
    waves = Waves()
    for number in range(3):
        waves.acquire(key(number), 1)
    assert waves.release(key(0)) == [key(1)]
    assert waves.release(key(1)) == [key(2)]  # gone, held or not needed any more
    assert waves.release(key(7)) == []


@pytest.mark.parametrize("seed", range(20))
def test_all_have_their_turn_and_never_more_than_the_limit_at_once(seed: int) -> None:
    """Looks happen only where somebody was woken, in any order; some services go away."""
    choose, waves, limit = random.Random(seed), Waves(), 3
    ready, rolling, done = {key(n): None for n in range(40)}, set[Key](), set[Key]()
    while ready or rolling:
        if ready and (not rolling or choose.random() < 0.5):
            one = choose.choice(list(ready))
            del ready[one]
            if choose.random() < 0.2:
                done.add(one)
                woken = waves.release(one)
            else:
                woken = []
                if waves.acquire(one, limit):
                    rolling.add(one)
        else:
            one = choose.choice(sorted(rolling))
            rolling.discard(one)
            done.add(one)
            woken = waves.release(one)
        ready |= dict.fromkeys(k for k in woken if k not in done)
        assert len(rolling) <= limit
    assert len(done) == 40
