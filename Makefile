PYTHON ?= python3
CORES ?= all
VENV := .venv
READY := $(VENV)/.ready
BIN := $(CURDIR)/$(VENV)/bin

.PHONY: run limits figures report test test-slurm lint unit workflow lock docs clean help

help:
	@echo "make run      the default study, from events to limits and report.html (CORES=2 to use two)"
	@echo "make limits   only the limits, after an edit"
	@echo "make figures  only the figures, after an edit"
	@echo "make report   report.html from the finished results"
	@echo "make test     lint and tests"
	@echo "make test-slurm  the workflow through a real SLURM on this machine (Debian, root)"
	@echo "make lock     pin the dependencies anew from pyproject.toml"
	@echo "make docs     docs/configuration.md from the schemas, docs/reruns.md from its test"
	@echo "make clean    remove results and logs"

run: $(READY)
	PATH="$(BIN):$$PATH" snakemake --cores $(CORES)
	PATH="$(BIN):$$PATH" snakemake --report report.html --quiet all

limits figures: $(READY)
	PATH="$(BIN):$$PATH" snakemake --cores $(CORES) $@

report: $(READY)
	PATH="$(BIN):$$PATH" snakemake --report report.html

test: lint unit workflow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	PATH="$(BIN):$$PATH" snakemake --lint

unit: $(READY)
	PATH="$(BIN):$$PATH" $(BIN)/pytest -n auto tests/unit

workflow: $(READY)
	PATH="$(BIN):$$PATH" $(BIN)/pytest tests/workflow

SLURM_DAEMONS := munged slurmctld slurmd

test-slurm: $(READY)
	@for daemon in $(SLURM_DAEMONS); do PATH="$$PATH:/usr/sbin" command -v $$daemon > /dev/null || missing=1; done; \
	if [ -n "$$missing" ]; then apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends munge slurm-wlm; fi
	PATH="$(BIN):$$PATH" $(BIN)/pytest tests/slurm

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "cwolaflow needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $(READY)

docs: $(READY)
	$(BIN)/python -m cwolaflow.config.reference
	$(BIN)/python tests/workflow/reruns.py

# The CPU and CUDA builds of torch share the version; the local suffix must not be pinned.
lock:
	$(PYTHON) -m venv .lock-venv
	.lock-venv/bin/pip install --quiet pip-tools
	.lock-venv/bin/pip-compile --quiet --extra dev --strip-extras --no-header --annotation-style line \
		--no-emit-find-links --no-emit-index-url --no-emit-trusted-host \
		--output-file requirements.lock pyproject.toml
	sed -i.bak 's/^\(torch==[0-9.]*\)+[a-z0-9]*/\1/' requirements.lock
	rm -rf .lock-venv requirements.lock.bak

clean:
	rm -rf results logs benchmarks/results report.html
