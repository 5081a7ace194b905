# Two commands: `make demo` and `make test`. Both set everything up first; a second call finds it done.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The versions the tests were recorded with. For another CUDA: make TORCH="torch torchvision --index-url ..."
TORCH ?= torch==2.14.1 torchvision==0.29.1

.PHONY: demo test setup engine browser lint types unit clean
.DEFAULT_GOAL := demo

demo: setup engine
	$(BIN)/loraforge demo

test: setup engine browser lint types unit

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[engine,text-detection,dev]'
	@$(BIN)/python -c 'import cv2' 2>/dev/null || .ci/system-packages libgl1 libglib2.0-0
	@touch $@

# sd-scripts comes by git, which not every machine can reach; what needs it is then skipped, and says so.
engine:
	@$(BIN)/python -c 'import sys; from loraforge.engine.locate import find; sys.exit(find() is None)' \
	  || timeout 120 git submodule update --init --quiet vendor/sd-scripts 2>/dev/null \
	  || echo "sd-scripts can't be fetched here: going on with the embedded engine; tests that need sd-scripts are skipped"

# The pages are tested in a real browser; without one those tests are skipped, and say so.
browser:
	@command -v chromium >/dev/null || .ci/system-packages chromium

lint:
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .

types:
	$(BIN)/mypy --no-error-summary

# tests/conftest.py puts the longest files first; xdist's own order would put them last.
unit:
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --quiet

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
