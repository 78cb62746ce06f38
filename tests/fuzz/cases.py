"""The numbered cases of a seed: every fifth object is left as it was generated."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.fuzz.gates import Case
from tests.fuzz.generate import KINDS, Generator
from tests.fuzz.mutate import mutate

INTACT_EVERY = 5


def case(seed: int, number: int) -> Case:
    pick = random.Random(f"{seed}:{number}")
    # Services are what most rules are about.
    resource = KINDS[0] if pick.random() < 0.3 else pick.choice(KINDS)
    obj = Generator(pick).object(resource)
    if number % INTACT_EVERY == 0:
        return Case(number, resource, obj)
    broken, done = mutate(obj, pick)
    return Case(number, resource, broken, tuple(done))


def cases(seed: int, first: int, count: int) -> Iterator[Case]:
    return (case(seed, number) for number in range(first, first + count))
