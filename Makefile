# Wearmeter. Every target sets up what it needs; `make help` lists them.

PYTHON ?= python3
PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help venv setup clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z_-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'

venv:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "wearmeter: set-up: $(PYTHON) was not found: Python 3.10 or newer is needed" >&2; exit 2; }
	@$(PYTHON) tools/setup/venv.py

setup: venv ## make .venv with everything pinned

clean: ## remove what was built (build/), keep .venv
	rm -rf build
