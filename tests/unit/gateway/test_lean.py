"""The gateway's process is a Python without TLS, until somebody scrapes it."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
from ome.standalone.gateway import lean
lean.forbid_tls()
from ome.standalone.gateway import program
from ome.kube import transport
from ome.standalone.gateway.metrics import Metrics

def loaded(*names):
    return [name for name in names if sys.modules.get(name) is not None]

print(loaded("ssl", "_ssl", "prometheus_client", "frozenlist._frozenlist"))
metrics = Metrics()
metrics.duration.observe("a", 0.3)
metrics.in_flight.add("a")
metrics.in_flight.add("a", by=-1)
text = metrics.text().decode()
print(loaded("prometheus_client"))
print('ome_gateway_in_flight{service="a"} 0.0' in text)
for bound, count in {"0.25": 0, "0.5": 1, "+Inf": 1}.items():
    print(f'ome_gateway_request_seconds_bucket{{le="{bound}",service="a"}} {count}.0' in text)
print('ome_gateway_request_seconds_sum{service="a"} 0.3' in text)
"""


def test_no_tls_is_loaded_and_a_scrape_is_answered_all_the_same() -> None:
    argv = [sys.executable, "-c", _PROGRAM]
    environment = {"FROZENLIST_NO_EXTENSIONS": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "['prometheus_client']", *["True"] * 5]


def test_hashes_do_without_openssl() -> None:
    program = (
        "from ome.standalone.gateway import lean; lean.forbid_tls()\n"
        "import hashlib, hmac\n"
        "print(hashlib.sha256(b'a').hexdigest()[:8], hmac.compare_digest('a', 'a'))"
    )
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("ca978112 True", "")
