# Two commands on a fresh machine: `make run` and `make test`. Both create .venv and install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# several processes on few cores: waiting threads must sleep, not spin
export OMP_WAIT_POLICY := PASSIVE

.PHONY: run test lint bench clean

run: $(VENV)/.installed
	$(BIN)/structnet train listops --config examples/first_run.yaml --run runs/first-$$(date +%Y%m%d-%H%M%S)

test: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/pytest -n 2

lint: $(VENV)/.tested
	$(BIN)/ruff check . && $(BIN)/pyright

bench: $(VENV)/.tested
	$(BIN)/python -m bench

# torch first and pinned: a plain range would fetch several GB of CUDA packages
$(VENV)/.installed: pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable ".[plots]"
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable ".[dev,plots,triton]"
	touch $@

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
