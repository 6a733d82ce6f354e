# `make demo` and `make test` set up what they need: a virtual environment with this package in it.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint parity clean

demo: $(VENV)/ready
	$(BIN)/avalanche-gift run --benchmark mini --strategies zero-shot finetune l2 gift --out runs/demo

test: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile tests

parity: $(VENV)/ready
	$(BIN)/python tests/replay.py tests/data/*.safetensors

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,dev]'
	touch $@

clean:
	rm -rf $(VENV) runs
