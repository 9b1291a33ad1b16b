# Two commands on a fresh machine (CPython 3.11, pip, venv, make): `make demo` and `make test`.
PYTHON ?= python3
PIP = PIP_DISABLE_PIP_VERSION_CHECK=1
DEV = .venv
DEMO = .venv-demo
ARGS ?=
TESTS ?= tests
SECONDS ?= 600
ROWS ?= 1000000

.PHONY: demo test fuzz fuzz-reader check bench setup clean

$(DEV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEV)
	$(PIP) $(DEV)/bin/pip install --quiet --constraint constraints.txt torch
	$(PIP) $(DEV)/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(DEMO)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEMO)
	$(PIP) $(DEMO)/bin/pip install --quiet --no-compile --constraint constraints.txt --editable '.[demo]'
	touch $@

setup: $(DEV)/.installed

demo: $(DEMO)/.installed
	$(DEMO)/bin/python -m examples.flask_app.demo $(ARGS)

test: $(DEV)/.installed
	$(DEV)/bin/python -m pytest $(TESTS) $(ARGS)

# The nightly one: ROWS hostile rows through every door, on every instruction set that numpy has here.
fuzz: $(DEV)/.installed
	FUZZ_ROWS=$(ROWS) $(DEV)/bin/python -m pytest tests/transform -m nightly $(ARGS)

# Coverage-guided: every reader of a stranger's bytes, SECONDS each.
fuzz-reader: $(DEV)/.installed
	FUZZ_SECONDS=$(SECONDS) $(DEV)/bin/python -m pytest tests/fuzz -s $(ARGS)

check: $(DEV)/.installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports
	$(DEV)/bin/python scripts/budgets.py
	$(DEV)/bin/python -m benchmarks.table --check
	$(DEV)/bin/python -m pytest docs README.md -q -p no:cacheprovider

bench: $(DEV)/.installed
	$(DEV)/bin/python -m benchmarks.run $(ARGS)

clean:
	rm -rf $(DEV) $(DEMO) build dist
