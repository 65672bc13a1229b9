# Everything from a fresh clone: `make demo`, `make test`. Needs Python 3.10 to 3.12 and nothing else.
#   FAMILY=openmmlab  uses the original OpenMMLab packages instead of the maintained onedl ones
#   VENV=DIR          puts the environment elsewhere
PYTHON ?= python3
FAMILY ?= onedl
VENV ?= .venv-$(FAMILY)
BIN := $(VENV)/bin
CONSTRAINTS := requirements/constraints-$(FAMILY).txt
STAMP := $(VENV)/.installed
DEMO := work_dirs/demo
EPOCHS := 200
# Test processes; files of tests are not divided among them, nor sorted by their number of tests: the longest has one.
WORKERS ?= 2
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test test-all lint docs results locks sbom dist clean-demo

help:
	@echo "make demo       pretrain on the bundled clips and write $(DEMO)/report.html (about 10 minutes with set-up)"
	@echo "make test       the tests, in minutes; test-all adds the long ones (USCL_TEST_DATA=DIR: on real data, too)"
	@echo "make lint       ruff, mypy, and which room may import which (needs Python 3.11)"
	@echo "make docs       the site, in site/"
	@echo "make results    the tables of docs/results, from the predictions kept beside them"
	@echo "make dist       wheel and source distribution, in dist/"
	@echo "make sbom       every dependency with its licence, as CycloneDX: sbom.json"
	@echo "make locks      locks/*.txt: every dependency with the hashes of its files (needs Python 3.11 on Linux)"

$(STAMP): setup.py $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c $(CONSTRAINTS) "setuptools<82"
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e '.[$(FAMILY),dev]'
	touch $@

# The environment may be shared by several clones: point it at this one (two seconds).
setup: $(STAMP)
	@$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .

demo: setup
	$(BIN)/uscl pretrain demo --out $(DEMO) --size 64 --epochs $(EPOCHS)

clean-demo:
	rm -rf $(DEMO)

# Nothing is compiled: the tests run without a compiler.
test: setup
	CC=/bin/false CXX=/bin/false $(BIN)/python -m pytest $(SPREAD) -m "not slow"

test-all: setup
	CC=/bin/false CXX=/bin/false $(BIN)/python -m pytest $(SPREAD)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: setup
	$(BIN)/python -m mkdocs build --strict

# The tables of docs/results, from the predictions kept beside them.
results: setup
	$(BIN)/python tools/benchmarks/render_results.py

sbom: setup
	$(BIN)/python locks/list_dependencies.py --sbom sbom.json

# Wheel and source distribution, checked; uploading them is up to the maintainer.
dist: setup
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m twine check --strict dist/*

locks:
	$(PYTHON) -m venv .venv-locks
	.venv-locks/bin/python -m pip install -q uv
	for family in onedl openmmlab; do \
	  lock=locks/$$family-linux-py311.txt; \
	  .venv-locks/bin/uv pip compile setup.py --no-config -q --extra $$family --extra dicom --extra dicom-out --extra stacks \
	    --extra export --extra cluster \
	    -c requirements/constraints-$$family.txt --generate-hashes --python-version 3.11 \
	    --python-platform x86_64-unknown-linux-gnu --no-header --no-annotate --no-emit-index-url -o $$lock.new && \
	  { head -n 1 $$lock; cat $$lock.new; } > $$lock.tmp && mv $$lock.tmp $$lock && rm $$lock.new || exit 1; \
	done
