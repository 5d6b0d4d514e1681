# make setup · check · test · golden · demo · docs · mutants. Everything goes to .venv in this checkout; a second run installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup check format test golden demo docs mutants clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	@echo "Setting up $(VENV): downloads about 3 GB and takes about 6 GB on disk (PyTorch's ordinary build brings CUDA libraries along)."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[demo,export,serve,dev]"
	@touch $@

check: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Every number as it was when it was recorded, on a machine of the same kind; RECORD=1 records.
golden: $(STAMP)
	RECORD=$(RECORD) $(BIN)/python -m pytest -m golden tests/golden

demo: $(STAMP)
	$(BIN)/warmstart demo

docs: $(STAMP)
	$(BIN)/python -m warmstart.cli.reference docs

# Hours on two cores. Results are kept in runs/mutants: stopped, it goes on where it was; SLICE is how many minutes it may take.
SLICE ?= 600
mutants: $(STAMP)
	nice $(BIN)/python benchmarks/mutants.py --minutes $(SLICE)

clean:
	rm -rf $(VENV) build dist src/*.egg-info
