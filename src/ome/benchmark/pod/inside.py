"""Runs inside of genai-bench's own Python: looks at what the benchmark will need, and runs it.

What was found goes into a file; the run begins with the word ``go`` on standard input. One process
does both, because genai-bench takes seconds to import.

genai-bench logs every option and keeps its command line with the results, and takes options from
the environment too. So keys reach it here, in this process, and whatever it logs or keeps passes
through :func:`~.said.scrub`.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from .said import scrub, shorten

KEYS = ("MODEL_API_KEY", "OPENAI_API_KEY", "API_KEY")
"""Environment variables that may carry the endpoint's key; the first one that is set counts."""


def key() -> str:
    return next((os.environ[name] for name in KEYS if os.environ.get(name)), "")


class _Scrub(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = scrub(record.getMessage()), ()
        return True


def _harden(module: Any) -> None:
    """Gives genai-bench its key, and keeps secrets out of what it writes."""
    secret = key()
    factory = module.UnifiedAuthFactory
    make = factory.create_model_auth

    def with_key(provider: str, **facts: Any) -> Any:
        if secret and "api_key" in facts:
            facts["api_key"] = secret
        return make(provider, **facts)

    factory.create_model_auth = staticmethod(with_key)
    metadata = module.ExperimentMetadata

    def clean(**facts: Any) -> Any:
        facts["cmd"] = scrub(facts["cmd"])
        return metadata(**facts)

    module.ExperimentMetadata = clean
    setup = module.init_logger

    def quiet(*names: Any, **more: Any) -> Any:
        logger = setup(*names, **more)
        logger.addFilter(_Scrub())
        return logger

    module.init_logger = quiet


def _arguments(given: list[str]) -> list[str]:
    """A list of one's own (click empties it), with what has no environment variable."""
    token = os.environ.get("OCI_SECURITY_TOKEN")
    return [*given, *(("--security-token", token) if token else ())]


def check(module: Any, given: list[str]) -> tuple[str, str]:
    """Options, dataset, tokenizer and the place for the results: (reason, message) of a problem."""
    stage = "OptionsRefused"
    try:
        context = module.benchmark.make_context("benchmark", _arguments(given))
        options = context.params
        stage = "TokenizerUnusable"
        module.validate_tokenizer(options["model_tokenizer"])
        stage = "DatasetUnusable"
        _try_dataset(module, options)
        stage = "OutputUnwritable"
        if options["upload_results"]:
            _try_upload(module, options)
    except Exception as error:
        in_words = getattr(error, "format_message", error.__str__)
        return stage, scrub(shorten(in_words() or type(error).__name__))
    return "", ""


def _try_dataset(module: Any, options: dict[str, Any]) -> None:
    """Loads it as genai-bench will."""
    if options["dataset_config"]:
        dataset = module.DatasetConfig.from_file(options["dataset_config"])
    else:
        dataset = module.DatasetConfig.from_cli_args(
            dataset_path=options["dataset_path"],
            prompt_column=options["dataset_prompt_column"],
            image_column=options["dataset_image_column"],
        )
    try:
        data = module.DataLoaderFactory.load_data_for_task(options["task"], dataset)
    except ValueError as error:
        if dataset.prompt_column or ("rompts" not in str(error) and "Column" not in str(error)):
            raise
        raise ValueError(
            f"{error}. Name the column of the prompts: spec.dataset.parameters.prompt_column"
        ) from error
    if not len(data):
        raise ValueError("the dataset is empty")


def _try_upload(module: Any, options: dict[str, Any]) -> None:
    """Writes one small object where the results will go, with the options of the upload itself."""
    provider = options["storage_provider"] or "oci"
    kind = options["storage_auth_type"] or options["auth"]
    facts: dict[str, dict[str, Any]] = {
        "oci": {
            "auth_type": kind,
            "config_path": options["config_file"],
            "profile": options["profile"],
            "token": options["security_token"],
            "region": options["region"],
        },
        "aws": _with_prefix(options, "storage_aws_"),
        "azure": _with_prefix(options, "storage_azure_"),
        "gcp": _with_prefix(options, "storage_gcp_"),
        "github": _with_prefix(options, "github_"),
    }
    auth = module.UnifiedAuthFactory.create_storage_auth(provider, **facts[provider])
    more = {"namespace": options["namespace"]} if provider == "oci" else {}
    storage = module.StorageFactory.create_storage(provider, auth, **more)
    if provider == "github":
        return  # a release is made with the first file: nothing to be tried without leaving one
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "ome-write-check.txt"
        probe.write_text("OME has checked that results can be written here.\n")
        prefix = (options["storage_prefix"] or "").strip("/")
        name = f"{prefix}/{probe.name}" if prefix else probe.name
        storage.upload_file(str(probe), name, options["storage_bucket"])


def _with_prefix(options: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in options.items() if k.startswith(prefix)}


def main(answer: Path, given: list[str]) -> None:
    from genai_bench.cli import cli as module

    _harden(module)
    reason, message = check(module, given)
    partly = answer.with_suffix(".part")
    partly.write_text(json.dumps({"reason": reason, "message": message}))
    partly.rename(answer)
    if reason or sys.stdin.readline().strip() != "go":
        return
    sys.argv = ["genai-bench", *given]
    module.cli(["benchmark", *_arguments(given)])


def version() -> str:
    return importlib.metadata.version("genai-bench")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
