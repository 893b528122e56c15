PYTHON ?= python3
BIN := .venv/bin
PLUGINS := $(wildcard plugins/*/pyproject.toml)
SOURCES := core/taskgraft $(wildcard plugins/*/src)

# Tests are compiled once, not by each process again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick attack lint docs bench newest clean

demo: .venv/demo
	$(BIN)/python examples/intents/demo.py

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --dist loadfile --no-loadscope-reorder

# The tests that are not marked slow, without lint.
quick: .venv/test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow and not attack" -n logical --dist loadfile --no-loadscope-reorder

# Attacks by the thousand, one after another; prints how many of each kind held.
attack: .venv/test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m attack

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)

# The API reference of the public surface, in build/docs; fails on a public name without a docstring.
docs: .venv/test
	$(BIN)/python tests/support/reference.py build/docs

bench: .venv/test
	for script in tests/benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

# All suites with the newest release of every dependency, whatever constraints.txt says.
newest:
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-newest/bin/python -m pip install --quiet --progress-bar on --upgrade --upgrade-strategy eager --group demo --group test $(foreach plugin,$(PLUGINS),--editable $(dir $(plugin))) --editable .
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest -q -n logical --dist loadfile --no-loadscope-reorder

clean:
	rm -rf .venv .venv-newest

.venv/pip:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	touch $@

.venv/demo: .venv/pip pyproject.toml constraints.txt $(PLUGINS)
	$(BIN)/python -m pip install --quiet --progress-bar on --constraint constraints.txt --group demo $(foreach plugin,$(PLUGINS),--editable $(dir $(plugin))) --editable .
	touch $@

.venv/test: .venv/demo
	$(BIN)/python -m pip install --quiet --progress-bar on --constraint constraints.txt --group test
	touch $@
