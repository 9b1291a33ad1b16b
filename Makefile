# Two commands on a fresh machine (CPython 3.11, pip, venv, make): `make demo` and `make test`.
PYTHON ?= python3
PIP = PIP_DISABLE_PIP_VERSION_CHECK=1
DEV = .venv
DEMO = .venv-demo
SERVERS = .venv-servers
RIVALS = .venv-rivals
# PyTriton's server embeds an interpreter of its own, which must fit the library of the one that makes the
# environment: its 3.11 does not start with that of 3.11.7, its 3.12 does with 3.12.1. The benchmark lists what fails.
TRITON_PYTHON ?= $(PYTHON)
ARGS ?=
TESTS ?= tests
SECONDS ?= 600
ROWS ?= 1000000

.PHONY: demo test fuzz fuzz-reader soak check bench drift-study gpu setup servers prometheus rivals clean

$(DEV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEV)
	$(PIP) $(DEV)/bin/pip install --quiet --constraint constraints.txt torch
	$(PIP) $(DEV)/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(DEMO)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DEMO)
	$(PIP) $(DEMO)/bin/pip install --quiet --no-compile --constraint constraints.txt --editable '.[demo]'
	touch $@

# What the tests of sources are held against: S3 (moto, s3fs) and MLflow, whose pins cannot live beside ours.
# Every package is pinned, so nothing is resolved: pip would search for minutes among releases of botocore.
$(SERVERS)/.installed: constraints-servers.txt
	$(PYTHON) -m venv $(SERVERS)
	$(PIP) $(SERVERS)/bin/pip install --quiet --no-compile --no-deps --requirement constraints-servers.txt
	touch $@

# What benchmarks/batching.py is held against. Three environments, for their pins conflict.
$(RIVALS)/.installed: constraints-rivals.txt
	$(PYTHON) -m venv $(RIVALS)
	$(PIP) $(RIVALS)/bin/pip install --quiet --no-compile --no-deps --requirement constraints-rivals.txt
	touch $@

$(RIVALS)-mlserver/.installed: constraints-rivals-mlserver.txt
	$(PYTHON) -m venv $(RIVALS)-mlserver
	$(PIP) $(RIVALS)-mlserver/bin/pip install --quiet --no-compile --no-deps --requirement constraints-rivals-mlserver.txt
	touch $@

$(RIVALS)-triton/.installed: constraints-rivals-triton.txt
	$(TRITON_PYTHON) -m venv $(RIVALS)-triton
	$(PIP) $(RIVALS)-triton/bin/pip install --quiet --no-compile --no-deps --requirement constraints-rivals-triton.txt
	touch $@

setup: $(DEV)/.installed

servers: $(SERVERS)/.installed

# The server and promtool, that docs/grafana and docs/prometheus are held to; needs root or sudo.
prometheus:
	scripts/install-prometheus.sh

rivals: $(RIVALS)/.installed $(RIVALS)-mlserver/.installed $(RIVALS)-triton/.installed

demo: $(DEMO)/.installed
	$(DEMO)/bin/python -m examples.flask_app.demo $(ARGS)

test: $(DEV)/.installed $(SERVERS)/.installed
	$(DEV)/bin/python -m pytest $(TESTS) $(ARGS)

# The nightly one: ROWS hostile rows through every door, on every instruction set that numpy has here.
fuzz: $(DEV)/.installed
	FUZZ_ROWS=$(ROWS) $(DEV)/bin/python -m pytest tests/transform -m nightly $(ARGS)

# Coverage-guided: every reader of a stranger's bytes, SECONDS each.
fuzz-reader: $(DEV)/.installed
	FUZZ_SECONDS=$(SECONDS) $(DEV)/bin/python -m pytest tests/fuzz -s $(ARGS)

# Everything at once on one runner, for SECONDS: answers, losses, memory.
soak: $(DEV)/.installed
	SOAK_SECONDS=$(SECONDS) $(DEV)/bin/python -m pytest tests/batching/test_soak.py -m nightly -s $(ARGS)

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

# What the drift alarm says where nothing changes, and how soon where something does: seeded, some minutes.
drift-study: $(DEV)/.installed
	$(DEV)/bin/python -m benchmarks.drift_study $(ARGS)

# Where there is an NVIDIA GPU: what CI cannot reach. Commit what it writes to benchmarks/results.
gpu: $(DEV)/.installed
	$(DEV)/bin/python -m pytest -m gpu -rs $(ARGS)
	$(DEV)/bin/python -m benchmarks.gpu

clean:
	rm -rf $(DEV) $(DEMO) $(SERVERS) $(RIVALS) $(RIVALS)-mlserver $(RIVALS)-triton build dist
