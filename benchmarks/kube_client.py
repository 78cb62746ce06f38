"""What the client costs: 5,000 objects of 4.8 kB held in memory, and 1,000 patches.

The API server is a stub in a process of its own, so that CPU and memory are the client's alone::

    python benchmarks/kube_client.py [--objects 5000] [--patches 1000] [--json]

"CPU" is the client process's user and system time. RSS is read from the kernel; each part runs in a
fresh process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

GROUP = "/apis/bench.example.com/v1"
PAGE = 500


def sample(number: int) -> dict[str, Any]:
    """An object of about 4.8 kB with managed fields, as a real service has."""
    env = [{"name": f"VARIABLE_{n}", "value": f"some value of number {n}"} for n in range(40)]
    managed: dict[str, Any] = {
        f"f:field{n}": {"f:inner": {}, "f:other": {"f:more": {}}} for n in range(24)
    }
    return {
        "apiVersion": "bench.example.com/v1",
        "kind": "Thing",
        "metadata": {
            "name": f"thing-{number:05}",
            "namespace": f"team-{number % 50}",
            "uid": f"00000000-0000-4000-8000-{number:012}",
            "resourceVersion": str(1000 + number),
            "labels": {"app": f"thing-{number:05}", "team": f"team-{number % 50}"},
            "managedFields": [{"manager": "m", "operation": "Apply", "fieldsV1": managed}],
        },
        "spec": {"template": {"spec": {"containers": [{"name": "main", "env": env}]}}},
        "status": {
            "conditions": [
                {"type": f"Condition{n}", "status": "True", "message": "all is well " * 6}
                for n in range(8)
            ]
        },
    }


# -- the stub server --------------------------------------------------------------------------


async def serve(count: int) -> None:
    from aiohttp import web

    bodies = [json.dumps(sample(n), separators=(",", ":")).encode() for n in range(count)]
    pages = {}
    for start in range(0, count, PAGE):
        token = f',"continue":"{start + PAGE}"' if start + PAGE < count else ""
        head = f'{{"kind":"List","metadata":{{"resourceVersion":"99999"{token}}},"items":['
        pages[str(start)] = head.encode() + b",".join(bodies[start : start + PAGE]) + b"]}"
    meta = {"resourceVersion": "99999", "annotations": {"k8s.io/initial-events-end": "true"}}
    end = {"type": "BOOKMARK", "object": {"metadata": meta}}
    stream = b"".join(b'{"type":"ADDED","object":' + body + b"}\n" for body in bodies)
    stream += json.dumps(end).encode() + b"\n"

    async def things(request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") != "true":
            body = pages[request.query.get("continue", "0")]
            return web.Response(body=body, content_type="application/json")
        response = web.StreamResponse()
        await response.prepare(request)
        if "sendInitialEvents" in request.query:
            for start in range(0, len(stream), 1 << 20):
                await response.write(stream[start : start + (1 << 20)])
        await asyncio.Event().wait()
        return response

    async def patch(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=bodies[0], content_type="application/json")

    app = web.Application()
    app.router.add_get(f"{GROUP}/things", things)
    app.router.add_patch(f"{GROUP}/namespaces/{{ns}}/things/{{name}}", patch)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until the parent is gone
    await runner.cleanup()


# -- measuring --------------------------------------------------------------------------------


def memory(field: str) -> float:
    """MB of ``VmRSS`` or ``VmHWM``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


async def hold(url: str, streaming: bool, drop: bool) -> dict[str, float]:
    from ome.apimachinery.objects import Resource
    from ome.kube import Client, Informer, wire

    things = Resource("bench.example.com", "v1", "things", "Thing")
    async with Client(url) as client:
        await client.patch(things, "x", {}, namespace="y")  # loads the HTTP library
        before, cpu, begin = memory("VmRSS"), time.process_time(), time.perf_counter()
        transform = wire.drop_managed_fields if drop else None
        informer = Informer(client, things, streaming=streaming, transform=transform)
        running = asyncio.create_task(informer.run())
        await informer.synced()
        seconds = time.perf_counter() - begin
        result = {
            "objects": len(informer),
            "seconds": seconds,
            "cpu_seconds": time.process_time() - cpu,
            "rss_before_mb": before,
            "rss_delta_mb": memory("VmRSS") - before,
            "rss_peak_mb": memory("VmHWM"),
        }
        begin = time.perf_counter()
        for key in informer.keys():  # noqa: SIM118
            informer.get(*key)
        result["get_us"] = (time.perf_counter() - begin) / len(informer) * 1e6
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return result


async def lists(url: str) -> dict[str, float]:
    from ome.apimachinery.objects import Resource
    from ome.kube import Client

    things = Resource("bench.example.com", "v1", "things", "Thing")
    async with Client(url) as client:
        await client.patch(things, "x", {}, namespace="y")
        begin, cpu = time.perf_counter(), time.process_time()
        count = 0
        async for page, _ in client.pages(things):
            count += len(page.items or ())
        raw, raw_cpu = time.perf_counter() - begin, time.process_time() - cpu
        begin = time.perf_counter()
        listed = await client.list(things)
        assert len(listed.items) == count
        return {
            "seconds_undecoded": raw,
            "cpu_seconds_undecoded": raw_cpu,
            "seconds_decoded": time.perf_counter() - begin,
        }


async def patches(url: str, count: int) -> dict[str, float]:
    from ome.apimachinery.objects import Resource
    from ome.kube import Client

    things = Resource("bench.example.com", "v1", "things", "Thing")
    body = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    async with Client(url) as client:

        async def send(share: int) -> None:
            for _ in range(share):
                await client.patch(things, "x", body, namespace="y")

        await send(20)
        begin, cpu = time.perf_counter(), time.process_time()
        await send(count)
        one = time.perf_counter() - begin, time.process_time() - cpu
        begin, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(send(count // 16) for _ in range(16)))
        many = time.perf_counter() - begin, time.process_time() - cpu
    done = count // 16 * 16
    return {
        "per_second": count / one[0],
        "cpu_us_each": one[1] / count * 1e6,
        "per_second_16": done / many[0],
        "cpu_us_each_16": many[1] / done * 1e6,
    }


PARTS = {
    "list": lambda url, _: hold(url, False, False),
    "list, without managedFields": lambda url, _: hold(url, False, True),
    "streaming": lambda url, _: hold(url, True, False),
    "plain list": lambda url, _: lists(url),
    "patch": patches,
}


def in_own_process(part: str, url: str, count: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--part", part, "--url", url, "--patches", str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(objects: int, count: int) -> dict[str, dict[str, float]]:
    with subprocess.Popen(
        [sys.executable, __file__, "--serve", str(objects)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        results = {part: in_own_process(part, url, count) for part in PARTS}
        server.stdin.close()
    code = "import time;b=time.perf_counter();import ome.kube;print(time.perf_counter()-b)"
    command = [sys.executable, "-c", code]
    env = {**os.environ, "PYTHONPATH": sys.path[0]}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
    return {**results, "import": {"seconds": float(done.stdout)}}


def main() -> None:
    parser = argparse.ArgumentParser(description="What the client costs.")
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--patches", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        asyncio.run(serve(arguments.serve))
    elif arguments.part:
        print(json.dumps(asyncio.run(PARTS[arguments.part](arguments.url, arguments.patches))))
    else:
        results = measure(arguments.objects, arguments.patches)
        results["object"] = {"bytes": len(json.dumps(sample(0), separators=(",", ":")))}
        if arguments.json:
            print(json.dumps(results, indent=2))
            return
        for part, figures in results.items():
            print(f"{part}:")
            for name, value in figures.items():
                print(f"  {name:24} {value:,.{3 if value < 10 else 0}f}")


if __name__ == "__main__":
    main()
