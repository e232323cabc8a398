# Wearmeter. Every target sets up what it needs first; `make help` lists them.

PYTHON ?= python3
PY := .venv/bin/python
JOBS ?= 2
SEED ?=
OUT ?= build/demo
SCENARIO ?=
# The tests' random seed: any failure is replayed by giving it back (make test HYPOTHESIS_SEED=n).
HYPOTHESIS_SEED ?= $(shell date +%s)
TESTS ?= host_tests

.DEFAULT_GOAL := help
.PHONY: help venv setup build demo test torture relay lint size clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z_-]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

venv:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "wearmeter: set-up: $(PYTHON) was not found, and Python 3.10 or newer is needed" >&2; exit 2; }
	@$(PYTHON) tools/setup/venv.py

setup: venv ## make .venv, fetch umqtt.simple, compile the firmware
	@$(PY) -m tools.setup.firmware

build: setup ## the same: build/mpy holds the compiled firmware

demo: setup ## a week of a vacuum, from motor to Alexa event [SCENARIO=file] [SEED=n] [OUT=dir]
	@exec $(PY) -m tools.demo $(if $(SCENARIO),--scenario "$(SCENARIO)") $(if $(SEED),--seed "$(SEED)") --out "$(OUT)"

test: setup ## lint and every test: on CPython, on MicroPython and end to end [TESTS=path] [JOBS=n]
	@$(PY) -m tools.setup.system_packages
	@exec $(PY) -m pytest -n $(JOBS) --dist worksteal --hypothesis-seed=$(HYPOTHESIS_SEED) $(TESTS)

torture: setup ## cut, kill, damage and reorder for a while [SECONDS=300] [SEED=n] [ONLY=power] [REPLAY=id]
	@exec $(PY) -m tools.torture $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(REPLAY),--replay $(REPLAY))

relay: venv ## run the relay by itself [ARGS="--broker HOST:PORT ..."], or ARGS=--help
	@exec $(PY) -m tools.relay run $(ARGS)

lint: venv ## ruff and mypy, host and device; silent when all is well
	@$(PY) -m tools.setup.lint

size: build ## bytes of each compiled module of the firmware, and of all
	@$(PY) -m tools.setup.size

clean: ## remove what was built (build/); .venv stays
	rm -rf build
