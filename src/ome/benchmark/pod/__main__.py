"""``python -m omebench benchmark …``: looks, runs genai-bench, tells. See the package."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from . import dataset, results, tokenizer
from .endpoint import Endpoint
from .inside import key
from .said import Failure, complain, end, shorten, tell

PATIENCE = float(os.environ.get("OME_BENCHMARK_PATIENCE") or 30.0)
"""Seconds to wait for the endpoint's first answer."""
LOST_AFTER = float(os.environ.get("OME_BENCHMARK_LOST_AFTER") or 20.0)
"""Seconds without anybody at the endpoint until the benchmark is given up."""
LOOK_EVERY = 1.0
WORDS = "words"
"""As ``--model-tokenizer``: there is none, words will do."""
_PACKAGE = __package__ or "omebench"


class Stopped(Exception):  # noqa: N818 - a signal, not an error
    pass


class Arguments:
    """genai-bench's command line, as far as it matters here."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def get(self, option: str) -> str:
        found = [v for n, v in zip(self.words, self.words[1:], strict=False) if n == option]
        return found[-1] if found else ""

    def set(self, option: str, value: str) -> None:
        if option in self.words:
            self.words[self.words.index(option) + 1] = value
        else:
            self.words += [option, value]

    def remove(self, option: str) -> None:
        at = self.words.index(option)
        del self.words[at : at + 2]


class Benchmark:
    """One benchmark, from the first look to the last word. ``python`` has genai-bench."""

    def __init__(self, words: list[str], python: str) -> None:
        self.arguments = Arguments(words)
        self.python = python
        self.scratch = Path(tempfile.mkdtemp(prefix="ome-benchmark-"))
        self.notes: list[str] = []
        self.told: set[str] = set()
        self.child: subprocess.Popen[bytes] | None = None
        self.log = self.scratch / "output.log"
        self.here = True
        """Whether the hub is not needed for the dataset."""
        base = self.arguments.get("--api-base").rstrip("/").removesuffix("/v1")
        self.endpoint = Endpoint(base, self.arguments.get("--api-backend").lower(), key())
        self.arguments.set("--api-base", base)

    def go(self) -> None:
        tell("phase", text="looking for genai-bench")
        origin = self._origin()
        folder = self._folder()
        if self.endpoint.speaks_openai:
            tell("phase", text=f"asking {self.endpoint.base}")
            self._settle_model()
        self._settle_tokenizer(origin)
        self._settle_dataset()
        tell("phase", text="looking at dataset, tokenizer and the place for results")
        self._check()
        tell("phase", text="genai-bench starts")
        self._run(folder)
        self._judge(folder)

    # -- before -------------------------------------------------------------------------------

    def _origin(self) -> Path:
        """Where genai-bench is installed."""
        look = "import importlib.util as u; s = u.find_spec('genai_bench'); print(s and s.origin)"
        try:
            said = subprocess.run(
                [self.python, "-c", look], capture_output=True, text=True, stdin=subprocess.DEVNULL
            )
        except OSError as error:
            raise Failure("GenaiBenchMissing", f"{self.python} can't be run: {error}") from error
        path = said.stdout.strip()
        if not path.endswith(".py"):
            raise Failure("GenaiBenchMissing", f"{self.python} has no genai-bench")
        return Path(path).parent

    def _folder(self) -> Path:
        """The folder of the results, tried out. Without a place of its own it is a passing one."""
        base = self.arguments.get("--experiment-base-dir")
        if not base:
            base = str(self.scratch / "results")
            self.arguments.set("--experiment-base-dir", base)
        name = self.arguments.get("--experiment-folder-name")
        folder = Path(base) / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"can results be written here?")
        except OSError as error:
            raise Failure("OutputUnwritable", f"results can't be written: {error}") from error
        old = [p for p in folder.glob("*.json") if not p.is_dir()]
        if old:
            self.notes.append(f"{len(old)} files of an earlier run in {folder} were moved to old/")
            (folder / "old").mkdir(exist_ok=True)
            for path in old:
                path.replace(folder / "old" / path.name)
        return folder

    def _settle_model(self) -> None:
        known = self.endpoint.models(PATIENCE)
        model = self.arguments.get("--api-model-name")
        if not model:
            if not known:
                raise Failure(
                    "ModelUnknown", f"{self.endpoint.base} does not say which models it serves"
                )
            model = known[0]
            self.arguments.set("--api-model-name", model)
        self.endpoint.try_model(model, self.arguments.get("--task"), known)

    def _settle_tokenizer(self, origin: Path) -> None:
        given = self.arguments.get("--model-tokenizer")
        model = self.arguments.get("--api-model-name")
        if given and Path(given).exists():
            found = tokenizer.find(Path(given), self.scratch / "tokenizer")
            if found is not None:
                self.arguments.set("--model-tokenizer", str(found))
                self.arguments.set("--model", model.rpartition("/")[2])
                return
            self.notes.append(f"{given} holds no tokenizer that can be read, so words were counted")
        elif given and given != WORDS and not given.startswith("/"):
            return  # a name at the Hugging Face hub; _check tries it
        elif given and given != WORDS:
            self.notes.append(f"there is no {given}, so words were counted instead of tokens")
        self._use_words(origin)

    def _use_words(self, origin: Path) -> None:
        text = (origin / "data" / "sonnet.txt").read_text()
        found = tokenizer.of_words(text, self.scratch / "words")
        self.arguments.set("--model-tokenizer", str(found))
        self.arguments.set("--model", self.arguments.get("--api-model-name").rpartition("/")[2])

    def _settle_dataset(self) -> None:
        given = self.arguments.get("--dataset-path")
        if not given:
            return
        part = json.loads(os.environ.get("OME_BENCHMARK_DATASET") or "{}")
        found = dataset.settle(given, self.arguments.get("--task"), part)
        if found.plain:
            self.arguments.set("--dataset-path", found.plain)
        else:
            columns = {
                "prompt_column": self.arguments.get("--dataset-prompt-column") or None,
                "image_column": self.arguments.get("--dataset-image-column") or None,
            }
            path = self.scratch / "dataset.json"
            path.write_text(json.dumps({"source": found.source, **columns}))
            self.arguments.remove("--dataset-path")
            self.arguments.set("--dataset-config", str(path))
        self.here = self.here and found.here

    def _check(self) -> None:
        """Leaves a genai-bench that has looked at everything and waits for the word to begin."""
        while True:
            verdict = self._verdict()
            if not verdict["reason"]:
                return
            self.stop()
            name = self.arguments.get("--model-tokenizer")
            words = str(self.scratch / "words")
            if verdict["reason"] != "TokenizerUnusable" or name == words:
                raise Failure(verdict["reason"], verdict["message"])
            self.notes.append(
                f"tokenizer {name} can't be loaded, so words were counted: "
                f"{shorten(verdict['message'], 200)}"
            )
            self._use_words(self._origin())

    def _verdict(self) -> dict[str, str]:
        """Starts genai-bench; what it says after it has looked."""
        answer = self.scratch / "verdict.json"
        answer.unlink(missing_ok=True)
        with self.log.open("wb") as output:
            self.child = subprocess.Popen(
                self._command(answer),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                cwd=self.scratch,
                start_new_session=True,
            )
        while not answer.exists():
            if self.child.poll() is not None and not answer.exists():
                tail = self.log.read_text(errors="replace").splitlines()[-5:]
                said = shorten("\n".join(tail), 600)
                raise Failure("GenaiBenchFailed", f"genai-bench can't start: {said}")
            time.sleep(0.1)
        found: dict[str, str] = json.loads(answer.read_text())
        return found

    # -- the run ------------------------------------------------------------------------------

    def _command(self, answer: Path) -> list[str]:
        words = [*self.arguments.words[1:], "--log-dir", str(self.scratch)]
        if self.endpoint.speaks_openai and "--api-key" not in words:
            words = ["--api-backend", self.endpoint.backend, "--api-key", "none", *words]
        return [self.python, "-m", f"{_PACKAGE}.inside", str(answer), *words]

    def _environment(self) -> dict[str, str]:
        offline = {}
        if self.here and Path(self.arguments.get("--model-tokenizer")).exists():
            offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
        if self.here:
            # Tables are kept in a form of their own, and not every image lets us write at home.
            offline["HF_DATASETS_CACHE"] = str(self.scratch / "datasets")
        quiet = {"TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
        return {**os.environ, "ENABLE_UI": "false", "MPLBACKEND": "Agg", **quiet, **offline}

    def _run(self, base: Path) -> None:
        child = self.child
        assert child is not None and child.stdin is not None
        gone = _Watch(self.endpoint)
        with contextlib.suppress(OSError):
            child.stdin.write(b"go\n")
            child.stdin.close()
        if self.endpoint.speaks_openai:
            gone.start()
        began = time.monotonic()
        while child.poll() is None:
            self.follow(base, began)
            if gone.why:
                self.stop()
                self.follow(base, began)
                raise Failure(
                    "EndpointLost",
                    f"{self.endpoint.base} has been gone for {LOST_AFTER:.0f} s: {gone.why}",
                )
            time.sleep(LOOK_EVERY)
        self.follow(base, began)
        if child.returncode:
            self._explain(base)

    def _explain(self, base: Path) -> None:
        lines = self.log.read_text(errors="replace").splitlines()
        for line in lines[-40:]:
            complain(line)
        for folder in self._folders(base):
            causes = results.debugged_failures(folder)
            if causes:
                said = results.in_words(causes)
                raise Failure("RequestsFailed", f"every request of a run failed: {said}")
        last = next((x for x in reversed(lines) if x.strip() and not x.startswith(" ")), "no word")
        code = self.child.returncode if self.child else 0
        raise Failure("GenaiBenchFailed", f"genai-bench ended with {code}: {shorten(last, 600)}")

    def stop(self) -> None:
        if self.child is None or self.child.poll() is not None:
            return
        os.killpg(self.child.pid, signal.SIGTERM)
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def _folders(self, base: Path) -> list[Path]:
        """Without a name of ours genai-bench makes a folder of its own below."""
        if self.arguments.get("--experiment-folder-name"):
            return [base]
        return [p for p in base.iterdir() if (p / "experiment_metadata.json").exists()]

    def follow(self, base: Path, began: float) -> None:
        """Tells of runs that have ended since the last look."""
        for folder in self._folders(base):
            plan = results.wanted(folder)
            if plan and not self.told:
                self._progress(0, plan, began)
                self.told.add("")
            for name, record in results.read_folder(folder).items():
                if name in self.told:
                    continue
                self.told.add(name)
                tell("run", run=record)
                self._progress(len(self.told) - 1, plan, began)

    def _progress(self, done: int, plan: list[tuple[str, int]], began: float) -> None:
        facts: dict[str, Any] = {"done": done, "total": len(plan)}
        if done < len(plan):
            facts["scenario"], facts["iteration"] = plan[done]
        tell("progress", **facts, seconds=round(time.monotonic() - began, 1))

    # -- after --------------------------------------------------------------------------------

    def _judge(self, base: Path) -> None:
        plan: list[tuple[str, int]] = []
        done: list[dict[str, Any]] = []
        for folder in self._folders(base):
            plan += results.wanted(folder)
            done += results.read_folder(folder).values()
        completed = sum(r["completed"] for r in done)
        failed = sum(r["failed"] for r in done)
        if len(done) < len(plan) or not done:
            missing = len(plan) - len(done)
            raise Failure(
                "RequestsFailed",
                f"{missing} of {len(plan)} runs ended without a single answer; "
                "the time of one run may be too short for one answer",
            )
        if not completed or failed > completed:
            causes = [cause for r in done for cause in r.get("causes") or ()]
            raise Failure(
                "RequestsFailed",
                f"{failed} of {failed + completed} requests failed: {results.in_words(causes)}",
            )
        end("Succeeded", "", f"{completed} requests answered", notes=self.notes)


class _Watch(threading.Thread):
    """``why`` becomes true when nobody has been at the endpoint for a while."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(daemon=True)
        self._endpoint = endpoint
        self.why = ""

    def run(self) -> None:
        since = 0.0
        while not self.why:
            lost = self._endpoint.is_lost()
            since = (since or time.monotonic()) if lost else 0.0
            if lost and time.monotonic() - since >= LOST_AFTER:
                self.why = lost
            time.sleep(2)


def main() -> int:
    def leave(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    signal.signal(signal.SIGTERM, leave)
    python = os.environ.get("OME_BENCHMARK_PYTHON") or sys.executable
    benchmark = Benchmark(sys.argv[1:], python)
    try:
        benchmark.go()
        return 0
    except Failure as failure:
        end("Failed", failure.reason, str(failure), notes=benchmark.notes)
    except Stopped:
        end("Failed", "Stopped", "it was stopped", notes=benchmark.notes)
    finally:
        benchmark.stop()
    return 1


if __name__ == "__main__":
    sys.exit(main())
