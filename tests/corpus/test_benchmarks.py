"""The Jobs that the published benchmarks become, as golden files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.corpus import corpus
from tests.unit.benchmark.jobs import check_golden, given

from ome.benchmark.job import render

FOLDER = corpus.ROOT / "samples" / "benchmark"
GOLDEN = Path(__file__).parent / "golden"
NAMES = ("deepseek-r1-rdma", "e5-mistral-7b-instruct", "llama3-1-70b-instruct")


@pytest.mark.parametrize("name", NAMES)
def test_published_samples(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        pytest.fail(f"the corpus is not at {corpus.ROOT}; set OME_CORPUS to where it is")
    found = [d for d in yaml.safe_load_all(path.read_text()) if d and d["kind"] == "BenchmarkJob"]
    check_golden(GOLDEN / f"benchmark-{name}.yaml", render(given(found[0])))


def test_no_published_sample_is_left_out() -> None:
    if not FOLDER.is_dir():
        pytest.fail(f"the corpus is not at {corpus.ROOT}; set OME_CORPUS to where it is")
    found = {p.stem for p in FOLDER.glob("*.yaml") if "kind: BenchmarkJob" in p.read_text()}
    assert found == set(NAMES)
