# make run    the flagship's answer; sets up .venv, whose .venv/bin/tonnage is the program
# make test   every test; sets up what the tests need
# Stamp files in .venv make a second run start at once. CI runs the same targets as a person.

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
WHEEL_VENV := build/wheel-venv
FUZZ_SECONDS ?= 30

# The newest Python that runs and can make an environment: a name on PATH may be a shim of a version that is not there.
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$p -c "$(SUITABLE)" >/dev/null 2>&1 && { echo $$p; break; }; done)
# the suite in as many processes as there are cores; PYTEST_ADDOPTS adds to it
PYTEST := -m pytest -n auto

.DEFAULT_GOAL := help
.PHONY: help run serve site browser-test test test-fast lint types docs docs-check coverage wheel wheel-test bench load fuzz clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/python:
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer with venv on PATH; say PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run: $(VENV)/python pyproject.toml
	$(PIP) install --editable .
	@touch $@

$(VENV)/dev: $(VENV)/python pyproject.toml
	$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/run

$(VENV)/serve: $(VENV)/python pyproject.toml
	$(PIP) install --editable '.[serve]'
	@touch $@ $(VENV)/run

run: $(VENV)/run ## the flagship's answer
	@$(BIN)/tonnage estimate qwen3.5-122b-a10b --quant Q4_K_M --context 256K

serve: $(VENV)/serve ## the pages at http://127.0.0.1:8765
	$(BIN)/tonnage serve

site: $(VENV)/serve ## the pages as files, in build/site
	$(BIN)/tonnage site build build/site

# what drives the browser lies below build/; the browser itself is the system's
build/browser/node_modules: tests/browser/package.json
	@mkdir -p build/browser && cp tests/browser/package.json build/browser/
	@if command -v npm >/dev/null; then npm --prefix build/browser install --no-audit --no-fund --no-package-lock --silent \
		|| echo "make: npm could not install what the browser tests need: they are skipped" >&2; \
		else echo "make: npm is not installed: the browser tests are skipped" >&2; fi
	@mkdir -p $@ && touch $@

browser-test: $(VENV)/dev build/browser/node_modules ## the pages in Chromium
	@command -v chromium chromium-browser >/dev/null || echo "make: Chromium is not installed: nothing is tested in a browser" >&2
	$(PY) -m pytest -n 0 -rs tests/browser

test: $(VENV)/dev build/browser/node_modules ## every test
	@command -v chromium chromium-browser >/dev/null || echo "make: Chromium is not installed: the browser tests are skipped" >&2
	$(PY) $(PYTEST)

test-fast: $(VENV)/dev ## the tests that take under a minute together
	$(PY) $(PYTEST) -m 'not slow and not bench'

lint: $(VENV)/dev ## ruff: style, docstrings, format of imports
	$(BIN)/ruff check

types: $(VENV)/dev ## mypy, strict, over src
	$(BIN)/mypy

docs: $(VENV)/dev ## write the generated pages and blocks
	$(PY) scripts/docs.py

docs-check: $(VENV)/dev ## fail where a generated page is stale
	$(PY) scripts/docs.py --check

coverage: $(VENV)/dev ## which lines and branches no test reaches
	$(BIN)/coverage run -m pytest -m 'not slow'
	$(BIN)/coverage report

WHEEL_SOURCES := pyproject.toml README.md LICENSE $(shell find src -type f -not -name '*.pyc')

build/wheel: $(VENV)/dev $(WHEEL_SOURCES)
	rm -rf dist
	$(PY) -m build --outdir dist . >build.log 2>&1 || { cat build.log; exit 1; }
	@mkdir -p build && mv build.log build/build.log && touch $@

wheel: build/wheel ## sdist and wheel, in dist/

# what has dependencies lasts; the wheel itself is put in anew each time it is built
$(WHEEL_VENV)/tonnage: build/wheel
	test -x $(WHEEL_VENV)/bin/python || $(PY) -m venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --force-reinstall --no-deps dist/*.whl
	$(WHEEL_VENV)/bin/python -m pip --disable-pip-version-check --quiet install "$$(echo dist/*.whl)[test]"
	@touch $@

wheel-test: $(WHEEL_VENV)/tonnage ## the tests against the installed wheel instead of src
	$(WHEEL_VENV)/bin/python -I -c "import tonnage; assert 'site-packages' in tonnage.__file__, tonnage.__file__"
	$(WHEEL_VENV)/bin/python -I $(PYTEST) -m 'not slow and not bench'

bench: $(VENV)/dev ## what must be fast, beside the peers that are installed
	$(PY) benchmarks/bench_startup.py
	$(PY) benchmarks/bench_walk.py
	$(PY) benchmarks/bench_remote.py
	$(PY) benchmarks/bench_plan.py
	$(PY) benchmarks/load_serve.py

load: $(VENV)/dev ## what two workers of the server carry, by wrk
	$(PY) benchmarks/load_serve.py

fuzz: $(VENV)/dev ## FUZZ_SECONDS of each fuzzer
	$(PIP) install atheris
	set -e; for f in fuzz/fuzz_*.py; do scratch=$$(mktemp -d); echo "$$f"; \
		$(PY) $$f -max_total_time=$(FUZZ_SECONDS) $$scratch fuzz/corpus/$$(basename $$f .py | sed s/fuzz_//); rm -r $$scratch; done

clean: ## remove all that was made
	rm -rf $(VENV) build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
