# Everything from a bare Python 3.11 with pip:
#   make reproduce      train, explain, write minidl-report/index.html
#   make test           the test suite
#   make test PY=python3.13      another Python, in a virtual environment of its own

PY ?= $(shell command -v python3.11 || command -v python3)

VERSION := $(shell $(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifeq ($(VERSION),)
$(error PY=$(PY) does not start; give a Python of at least 3.11, for example: make PY=/path/to/python3.11)
endif
ifneq ($(shell $(PY) -c 'import sys; print(sys.version_info >= (3, 11))'),True)
$(error minidl needs Python 3.11 or newer, $(PY) is $(VERSION); for example: make PY=/path/to/python3.11)
endif

# A Python given by hand gets its own folder, so that two versions never mix.
ifeq ($(origin PY),file)
VENV := .venv
else
VENV := .venv-$(VERSION)
endif

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

PYTHON := $(BIN)/python
READY := $(VENV)/.installed

WORKERS ?= 2
PYTEST := $(PYTHON) -m pytest -n $(WORKERS) --dist worksteal
ARGS ?=

.PHONY: install reproduce test notebooks fuzz bench lint clean

install: $(READY)

# The stamp is younger than pyproject.toml as long as nothing about the dependencies has changed.
$(READY): pyproject.toml
	test -x $(PYTHON) || $(PY) -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(READY)

reproduce: $(READY)
	$(PYTHON) -m minidl reproduce --jobs $(WORKERS) $(ARGS)

test: $(READY)
	$(PYTEST) $(ARGS)

# The executed notebooks under notebooks/, made anew from chapters/.
notebooks: $(READY)
	$(PYTHON) notebooks/build.py $(ARGS)

# The laws again, with 500 freshly drawn examples each instead of 25 fixed ones.
fuzz: $(READY)
	HYPOTHESIS_PROFILE=fuzz $(PYTEST) -m 'hypothesis and not peers and not gpu and not federated' $(ARGS)

bench: $(READY)
	$(PYTHON) -m benchmarks $(ARGS)

lint: $(READY)
	$(PYTHON) -m ruff check .

clean:
	rm -rf .venv .venv-* build dist minidl-report .hypothesis .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
