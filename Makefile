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
.PHONY: aws bench bench-relay build calibrate clean crash demo deploy erase-counters factory help lint model monitor mutate provision relay relay-package seal setup size status test torture venv

help: ## list the targets
	@sed -n 's/^\([a-z][a-z_-]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "  make %-13s %s\n", $$1, $$2}'

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

bench: setup ## measure every figure anew, into build/bench.json [ONLY=network]
	@exec $(PY) -m tools.bench $(ONLY)

torture: setup ## cut, kill, damage and reorder for a while [SECONDS=300] [SEED=n] [ONLY=power] [REPLAY=id]
	@exec $(PY) -m tools.torture $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(REPLAY),--replay $(REPLAY))

mutate: setup ## how many small changes of the core the device tests notice [ARGS="--count 300 --seed 9"]
	@exec $(PY) -m tools.mutate $(ARGS)

relay: venv ## run the relay by itself [ARGS="--broker HOST:PORT ..."], or ARGS=--help
	@exec $(PY) -m tools.relay run $(ARGS)

bench-relay: venv ## what relays accept and deliver a second, on SQLite, PostgreSQL, JetStream [ONLY=delivery] [LONG=1]
	@$(PY) -m tools.setup.system_packages
	@exec $(PY) -m tools.bench_relay $(if $(ONLY),--only $(ONLY)) $(if $(LONG),--long)

relay-package: venv ## the relay's wheel and its bill of materials (CycloneDX), into build/dist
	@$(PY) -m tools.setup.relay_package
	@$(PY) -m tools.setup.relay_sbom

aws: venv ## the relay's functions for AWS, with all they import: build/dist/wearmeter-relay-lambda.zip
	@$(PY) -m tools.setup.relay_aws

model: venv ## check the protocol's specification in full, in at most five minutes (needs Java)
	@$(PY) -m tools.setup.system_packages
	@exec $(PY) -m tools.model explore

lint: venv ## ruff and mypy, host and device; silent when all is well
	@$(PY) -m tools.setup.lint

size: build ## bytes of each bundle, and the heap after import and running
	@$(PY) -m tools.setup.size

# A board on a serial port: PORT=/dev/ttyUSB0. BOARD is a folder of boards/.
PORT ?=
BOARD ?= esp32_generic
PORT_NEEDED = @test -n "$(PORT)" || { echo "wearmeter: say where the board is: make $@ PORT=/dev/ttyUSB0" >&2; exit 2; }

deploy: setup ## put the firmware on a board, wait until it counts [PORT=...] [BOARD=esp32_generic]
	$(PORT_NEEDED)
	@exec $(PY) -m tools.deploy deploy --port "$(PORT)" --board "$(BOARD)"

monitor: venv ## show a board's console [PORT=...]
	$(PORT_NEEDED)
	@exec $(PY) -m tools.deploy monitor --port "$(PORT)"

status: venv ## counts, queue, link, faults, slots, heap and flash of a board; it runs on [PORT=...]
	$(PORT_NEEDED)
	@exec $(PY) -m tools.deploy status --port "$(PORT)"

crash: venv ## a board's latest crash, with the source's file and line [PORT=...]
	$(PORT_NEEDED)
	@exec $(PY) -m tools.deploy crash --port "$(PORT)"

calibrate: venv ## find the thresholds of a current-sense input [PORT=...] [DRIVER=mains|current]
	$(PORT_NEEDED)
	@exec $(PY) -m tools.deploy calibrate --port "$(PORT)" --driver "$(or $(DRIVER),mains)"

erase-counters: venv ## make a board forget all counts; asks first [PORT=...]
	$(PORT_NEEDED)
	@exec $(PY) -m tools.deploy erase-counters --port "$(PORT)"

# Secrets come from files outside the repository, or are asked for.
PRODUCT ?= vacuum
CONFIG ?=
FLEET ?=

provision: setup ## give a board its config and product [PORT=...] [CONFIG=unit.json] [PRODUCT=vacuum] [BOARD=...]
	$(PORT_NEEDED)
	@exec $(PY) -m tools.provision unit --port "$(PORT)" --board "$(BOARD)" --product "$(PRODUCT)" $(if $(CONFIG),--config "$(CONFIG)")

factory: setup ## flash images, labels and a report for a fleet [FLEET=units.csv] [CONFIG=common.json] [PRODUCT=vacuum] [BOARD=...]
	@test -n "$(FLEET)" -a -n "$(CONFIG)" || { echo "wearmeter: make factory FLEET=units.csv CONFIG=common.json" >&2; exit 2; }
	@exec $(PY) -m tools.provision factory --fleet "$(FLEET)" --config "$(CONFIG)" --board "$(BOARD)" --product "$(PRODUCT)"

seal: venv ## end a unit's factory test: counts at zero for the owner, console closed [PORT=...]
	$(PORT_NEEDED)
	@mkdir -p build/factory
	@exec $(PY) -m tools.provision seal --port "$(PORT)" --report build/factory/sealed.jsonl

clean: ## remove what was built (build/); .venv stays
	rm -rf build
