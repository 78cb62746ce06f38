"""``python -m ome.standalone.engines.llamacpp``: llama.cpp's own HTTP server in this process.

The wheel ``xllamacpp`` brings the server but no program; this is the program. It answers
``/health``, ``/metrics`` and the OpenAI paths under ``/v1``. It never uses the network except to
listen.

SIGTERM or SIGINT: requests that are being answered are finished, within ``--drain-seconds``; a
second signal ends that at once. Exit codes: 0 after a signal, 1 with one line ``error: <cause>`` as
the last line on stderr, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from ome.standalone.engines import gguf

DEFAULT_CONTEXT = 4096
DEFAULT_CACHE_MIB = 256


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m ome.standalone.engines.llamacpp")
    p.add_argument("--model", required=True, type=Path, help="a .gguf file, or a folder with one")
    p.add_argument("--host", default=os.environ.get("POD_IP") or "127.0.0.1")
    p.add_argument("--port", type=_port, default=8080, help="0 picks a free one")
    p.add_argument("--alias", default="", help="the model's name in /v1/models")
    p.add_argument("--ctx-size", type=int, default=DEFAULT_CONTEXT, help="tokens per request")
    p.add_argument("--parallel", type=int, default=1, help="requests at the same time")
    p.add_argument("--threads", type=int, default=0, help="0: one per core")
    p.add_argument("--gpu-layers", type=int, default=-1, help="-1: as many as fit")
    p.add_argument("--cache-ram", type=int, default=DEFAULT_CACHE_MIB, help="MiB of prompt cache")
    p.add_argument("--drain-seconds", type=float, default=20.0, help="for requests under way")
    p.add_argument("--embedding", action="store_true", help="serve embeddings only")
    p.add_argument("--reranking", action="store_true", help="serve reranking only")
    return p


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port (0 to 65535)")
    return port


def fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr, flush=True)  # noqa: T201 - this is a program
    os._exit(1)


def check_address(host: str, port: int) -> str | None:
    """Why the server could not listen there, or None."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        return f"cannot listen on {host}:{port}: {error.strerror or error}"
    return None


def serve(options: argparse.Namespace, model: Path) -> object:
    """Loads the model and starts the server. Raises RuntimeError, llama.cpp's reasons being on
    stderr by then."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames = [options.host]
    params.port = options.port
    params.model_alias = {options.alias or model.stem}
    params.n_parallel = max(1, options.parallel)
    params.n_ctx = options.ctx_size * params.n_parallel  # llama.cpp divides it among the slots
    if options.threads > 0:
        params.cpuparams.n_threads = options.threads
        params.cpuparams_batch.n_threads = options.threads
    params.n_gpu_layers = options.gpu_layers
    params.cache_ram_mib = options.cache_ram
    params.embedding = options.embedding or options.reranking
    if options.reranking:
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    params.endpoint_metrics = True
    params.offline = True
    params.ui = False
    # Any web page that the user visits could otherwise read a server on loopback.
    params.cors_origins, params.cors_origins_explicit, params.cors_credentials = "", True, False
    return xllamacpp.Server(params)


def busy(address: str) -> bool:
    """Whether a request is being answered or waits for its turn."""
    import urllib.request  # not before it is needed: it costs 3 MB

    try:
        with urllib.request.urlopen(f"{address}/metrics", timeout=2) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return False
    counts = ("llamacpp:requests_processing ", "llamacpp:requests_deferred ")
    return any(float(x.rpartition(" ")[2]) > 0 for x in lines if x.startswith(counts))


def main(arguments: list[str] | None = None) -> None:
    options = parser().parse_args(arguments)

    asked = threading.Event()
    state = {"serving": False}

    def leave(_signal: int, _frame: FrameType | None) -> None:
        if not state["serving"] or asked.is_set():
            os._exit(0)  # the C++ threads hold nothing that must be saved
        asked.set()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        model = gguf.choose(options.model)
        gguf.quick_check(model)
    except gguf.ModelFileError as error:
        fail(str(error))
    if problem := check_address(options.host, options.port):
        fail(problem)
    outcome: list[object] = []

    def load() -> None:
        try:
            outcome.append(serve(options, model))
        except Exception as error:
            outcome.append(error)
        done.set()

    # In a thread of its own, so that a signal is answered while the model loads.
    done = threading.Event()
    threading.Thread(target=load, daemon=True).start()
    done.wait()
    server = outcome[0]
    if isinstance(server, ImportError):
        fail(f"the engine is not installed ({server}): pip install 'open-model-engine[local]'")
    if isinstance(server, Exception):
        cause = gguf.diagnose(model) or check_address(options.host, options.port)
        fail(cause or f"llama.cpp could not serve {model} ({server}); its reason is printed above")
    address = getattr(server, "listening_address", "")
    state["serving"] = True
    print(f"ready {address} {model}", flush=True)  # noqa: T201 - this is a program
    asked.wait()
    end = time.monotonic() + options.drain_seconds
    while time.monotonic() < end and busy(str(address)):
        time.sleep(0.05)
    os._exit(0)


if __name__ == "__main__":
    main()
