# One command each: `make run` simulates, `make test` checks everything a change must pass.
#
#   make run        venv, then one decode step of Llama 3.1 8B on the chip `snake`
#   make test       venv with test tools, Icarus Verilog, then the tests (without the slow ones)
#   make test-all   the slow ones too
#   make synth      area, critical path and energy of the RTL blocks, to nmpsim/cost/tables: for ASAP7 if ASAP7_LIB is the
#                   folder of its Liberty files, else for Debian's osu018; KEEP=1 leaves blocks that have not changed
#   make suite      the cycle runs of the bench (`nmpsim validate`) anew, after a change of the cycle mode; minutes
#   make lint       style, types and import contracts only
#   make format     let ruff format the sources
#   make clean      remove results and caches; the venv stays (remove .venv to have it made anew)
#
# Set PYTHON to choose an interpreter for the venv, WORKERS for the number of test processes.

SHELL := /bin/bash
WORKERS ?= 2
PY := .venv/bin/python
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist worksteal

.PHONY: run test test-all synth suite lint format clean venv-run venv-test venv-synth tools tools-synth

run: venv-run
	.venv/bin/nmpsim simulate --model llama-3.1-8b --chip snake --batch 16 --context 4096 --out out/run

test: venv-test
	$(PYTEST)

test-all: venv-synth
	HYPOTHESIS_PROFILE=search $(PYTEST) -m "slow or not slow"

synth: venv-synth
	$(PY) -m rtl_models.synthesis $(if $(ASAP7_LIB),--asap7 "$(ASAP7_LIB)") $(if $(KEEP),--keep)

suite: venv-run
	.venv/bin/nmpsim validate --rerun --table nmpsim/validate/suites/standard.parquet
	$(PY) -m benchmarks.validate_models

lint: venv-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache

format: venv-test
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf out build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . \( -path ./.venv -o -path ./.git \) -prune -o \( -name __pycache__ -o -name sim_build \) -prune -exec rm -rf {} +

# These scripts return at once when there is nothing to do.
venv-run:
	@.ci/venv run

venv-test: tools
	@.ci/venv test

venv-synth: tools-synth
	@.ci/venv synth

tools:
	@.ci/tools

tools-synth:
	@.ci/tools synth
