# `make help` lists the targets. Everything lives in .venv; a second run installs nothing.
SHELL := /bin/sh
VENV  := .venv
BIN   := $(VENV)/bin
UV    ?= uv

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test contract lint format lock test-bench test-cluster test-emulators bench bench-admission bench-transfer soak soak-agent soak-operator clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.local: requirements.lock pyproject.toml scripts/venv
	@scripts/venv $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml scripts/venv
	@scripts/venv $(VENV) requirements-dev.lock
	@touch $(VENV)/.local $@

setup: $(VENV)/.dev  ## .venv with everything for development

# A stop by Ctrl-C is not a failure of make's: the script says what it stopped and exits 130.
quickstart: $(VENV)/.local  ## serve a model and ask it something; ONCE=1 stops by itself
	@exec $(BIN)/ome quickstart $(if $(filter-out 0,$(ONCE)),--once)

test: $(VENV)/.dev  ## all tests that need nothing but Python; ARGS="-k name"
	@exec $(BIN)/python -m pytest $(ARGS)

contract: $(VENV)/.dev  ## the contract's ledger: which fields are proven, which are open; ARGS="engine.runner"
	@exec $(BIN)/python tools/contract.py $(ARGS)

lint: $(VENV)/.dev  ## ruff, mypy --strict and the contracts of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## let ruff format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The lock files hold hashes, and no address of any index: pip's configuration decides where from.
LOCK_FLAGS = --universal --python-version 3.11 --generate-hashes --no-header --quiet \
	--no-emit-index-url --no-emit-find-links
lock:  ## renew the lock files (needs uv)
	@command -v $(UV) >/dev/null || { echo "error: make lock needs uv: pip install uv, or make lock UV=/path/to/uv" >&2; exit 1; }
	$(UV) pip compile pyproject.toml --extra local --group build $(LOCK_FLAGS) -o requirements.lock
	$(UV) pip compile pyproject.toml --extra local --group dev $(LOCK_FLAGS) -c requirements.lock -o requirements-dev.lock
	sed -n 's/^REQUIREMENT = "\(.*\)"/\1/p' src/ome/cli/benchenv.py | $(UV) pip compile - --universal --python-version 3.11 \
		--no-header --no-annotate --quiet --no-emit-index-url --no-emit-find-links \
		-o src/ome/cli/benchpackages.txt

test-bench: $(VENV)/.dev  ## tests with the real genai-bench (fetches 1.5 GB through pip, once); ARGS="-k name"
	@exec $(BIN)/python -m pytest tests/bench $(ARGS)

test-cluster: $(VENV)/.dev  ## tests against a real kube-apiserver (builds it with go, once); ARGS="-k name"
	@command -v go >/dev/null || { echo "error: THE CLUSTER TIER DID NOT RUN: it builds a real control plane from Go modules, and there is no go on PATH. Install Go 1.24 or newer." >&2; exit 1; }
	@$(BIN)/python -m tests.cluster.bed.build
	@exec $(BIN)/python -m pytest tests/cluster $(ARGS)

soak: soak-agent soak-operator  ## 100 kills of the agent, 200 of the operator, 100,000 fuzzed objects; ARGS="--seed 7 --count 5000"
	@exec $(BIN)/python -m tests.fuzz.soak --state .soak.json --write $(ARGS)

# KILLS=50 for a shorter one; broken off, it goes on where it was.
KILLS ?= 200
soak-operator: $(VENV)/.dev  ## 200 times kill -9 of the operator on the real control plane; KILLS=50
	@command -v go >/dev/null || { echo "error: make soak-operator builds a real control plane from Go modules, and there is no go on PATH. Install Go 1.24 or newer." >&2; exit 1; }
	@$(BIN)/python -m tests.cluster.bed.build
	@$(BIN)/python -m tests.soak.operator_kills --kills $(KILLS) --state .soak-operator.json --write

soak-agent: $(VENV)/.dev  ## 100 times kill -9 of the model agent, some minutes; OME_TEST_SEED=7
	@OME_SOAK_WRITE=1 $(BIN)/python -m pytest tests/soak -q

bench-admission: $(VENV)/.dev  ## how long reviews take, in process and over TLS; ARGS=--write keeps it
	@exec $(BIN)/python benchmarks/admission.py $(ARGS)

test-emulators: $(VENV)/.dev  ## storages against all emulators, Azure's and Google's too (needs npm and go)
	@for tool in npm go; do command -v $$tool >/dev/null || { echo "error: THE EMULATOR TIER DID NOT RUN: it needs $$tool, and there is none on PATH." >&2; exit 1; }; done
	@$(BIN)/python -m tests.storages.servers
	@OME_EMULATORS=1 exec $(BIN)/python -m pytest tests/storages $(ARGS)

# The result is printed; WRITE=FILE also keeps it. N=1000 takes about half an hour on two cores.
N ?= 100
bench: $(VENV)/.dev  ## the operator at scale on the real control plane, beside its floor; N=1000
	@command -v go >/dev/null || { echo "error: make bench builds a real control plane from Go modules, and there is no go on PATH. Install Go 1.24 or newer." >&2; exit 1; }
	@$(BIN)/python -m tests.cluster.bed.build
	@exec $(BIN)/python -m benchmarks.scale --n $(N) $(if $(WRITE),--write $(WRITE))

bench-transfer: $(VENV)/.dev  ## downloads against plain copying over HTTP; ARGS="1024 5 --write" (MiB, rounds)
	@PYTHONPATH=src:. exec $(BIN)/python benchmarks/transfer.py $(ARGS)

clean:  ## remove .venv and caches (not the data of ome up)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
