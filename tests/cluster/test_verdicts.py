"""The embedded API server accepts and refuses the same objects as the real kube-apiserver: every
manifest of the corpus, and broken variants of them."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from tests.cluster import corpus
from tests.cluster.corpus import Manifest
from tests.cluster.parity.mutate import variants
from tests.cluster.wire import Answer, Api

from ome.admission import OmeAdmission
from ome.api.crds import all_crds, crd
from ome.apimachinery.objects import Object, Resource

pytestmark = pytest.mark.asyncio(loop_scope="session")
SEED = int(os.environ.get("OME_SEED", "20261124"))
VARIANTS = int(os.environ.get("OME_VARIANTS", "400"))
"""More of them, with another seed, for a longer search."""
AT_ONCE = 8

QUIRKS = {
    "got float64 evaluating rule": "a CEL rule of the real server chokes on 2.0 where 2 is fine",
    "accessor error": "the scale paths of the real server choke on 2.0 where 2 is fine",
}
"""What the real server says of objects that the embedded one accepts, and why that is fine."""


@dataclass(frozen=True)
class Case:
    """One object that both servers are asked to create."""

    name: str
    manifest: Manifest
    object: Object


@dataclass(frozen=True)
class Verdict:
    case: Case
    real: Answer
    ours: Answer

    def __str__(self) -> str:
        return f"{self.case.name}\n    real: {self.real}\n    ours: {self.ours}"


class Nothing:
    """A view for admission of a cluster that is empty."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return None

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return []


def rule_messages(node: Any) -> Iterator[str]:
    """The messages of all CEL rules in a CRD."""
    if isinstance(node, dict):
        for rule in node.get("x-kubernetes-validations") or ():
            yield rule["message"]
        for inner in node.values():
            yield from rule_messages(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from rule_messages(inner)


RULES = {message for definition in all_crds() for message in rule_messages(definition)}


def is_explained(verdict: Verdict) -> bool:
    """A refusal by a quirk; or by one of OME's CEL rules, which the embedded server may have no
    evaluator for, if OME's admission refuses the object too."""
    text = str(verdict.real)
    if verdict.real.ok:
        return False
    if any(quirk in text for quirk in QUIRKS):
        return True
    if not any(rule in text for rule in RULES):
        return False
    case = verdict.case
    review = OmeAdmission().review("CREATE", case.manifest.resource, case.object, None, Nothing())
    return bool(review.errors)


@pytest.fixture(scope="module")
def broken() -> list[Case]:
    ours = [m for m in corpus.manifests() if m.resource.group == "ome.io"]
    chance = random.Random(SEED)
    made = []
    for number in range(VARIANTS):
        manifest = chance.choice(ours)
        version = crd(manifest.resource)["spec"]["versions"][0]
        schema = version["schema"]["openAPIV3Schema"]
        for variant in variants(manifest.object, schema, SEED + number, 1):
            name = f"{number}: {manifest.object['kind']}: {variant.what}"
            made.append(Case(name, manifest, variant.object))
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def apis(
    real: Api, embedded: Api, definitions: list[Answer], corpus_namespaces: None
) -> tuple[Api, Api]:
    for name in corpus.namespaces():
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        answer = await embedded.call("POST", "/api/v1/namespaces", body)
        assert answer.ok or answer.status == 409, answer
    return real, embedded


async def verdicts(apis: tuple[Api, Api], cases: Iterable[Case]) -> list[Verdict]:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case) -> Verdict:
        async with slots:
            answers = [
                await api.call(
                    "POST",
                    case.manifest.path,
                    case.object,
                    dryRun="All",
                    fieldValidation="Strict",
                )
                for api in apis
            ]
        return Verdict(case, *answers)

    return await asyncio.gather(*map(one, cases))


def disagreements(found: list[Verdict]) -> str:
    return "\n".join(str(v) for v in found if v.real.ok != v.ours.ok and not is_explained(v))


async def test_every_manifest_gets_the_same_verdict(apis: tuple[Api, Api]) -> None:
    named = [m for m in corpus.manifests() if m.object["kind"] != "Namespace"]
    found = await verdicts(apis, [Case(str(m), m, m.object) for m in named])
    assert disagreements(found) == ""


async def test_broken_variants_get_the_same_verdict(
    apis: tuple[Api, Api], broken: list[Case]
) -> None:
    found = await verdicts(apis, broken)
    refused = sum(not v.real.ok for v in found)
    assert refused >= 200, f"only {refused} of {len(broken)} variants are wrong at all"
    assert disagreements(found) == ""
