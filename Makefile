# Words for people and CI. Everything happens in .venv; nothing is installed elsewhere.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check format bench drill peers pictures clean

demo: .venv/.app ## the terminal UI on the built-in simulator
	@$(BIN)/ibtui demo

test: .venv/.test ## style, types, import boundaries, then every test with coverage
	@$(MAKE) --no-print-directory check
	@$(BIN)/python tools/run_tests.py

check: .venv/.test ## format, lint, types, import boundaries
	@$(BIN)/ruff format --check --quiet ibtui tests tools
	@$(BIN)/ruff check --quiet ibtui tests tools
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/unit/test_boundaries.py

format: .venv/.test ## mend style
	@$(BIN)/ruff format ibtui tests tools
	@$(BIN)/ruff check --fix ibtui tests tools

bench: .venv/.test ## figures, not a test
	@$(BIN)/python tools/bench.py

drill: .venv/.test ## longer failure drills
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/drill

peers: .venv/.test ## fetch the programs the interop tests talk to
	@sh tools/peers.sh

pictures: .venv/.test ## remake the README's pictures
	@$(BIN)/python tools/pictures.py

clean:
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .coverage*

.venv/bin/python:
	@$(PYTHON) -m venv .venv

.venv/.app: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing ibtui into .venv ..." >&2
	@$(PIP) --editable .
	@touch $@

.venv/.test: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing ibtui and its test tools into .venv ..." >&2
	@$(PIP) --editable '.[test]'
	@touch .venv/.app $@
