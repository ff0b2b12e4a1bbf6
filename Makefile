# All set-up goes through here: `make lab` to read the course, `make test` to check it. `make` alone lists the rest.

PYTHON ?= python3
PIP_ARGS ?=
COURSE ?=
REPO ?=
TORCH_INDEX ?=
PORT ?=
BROWSER ?=
NB ?=
ALL ?=
ARGS ?=

SHELL := bash
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
EXTRA := $(VENV)/.installed-
START := notebooks/00_start_here.ipynb

# Numbered chapters and assignment sources; a reader's own Untitled.ipynb is none of our business.
NOTEBOOKS := $(sort $(wildcard notebooks/[0-9][0-9]_*.ipynb) $(wildcard notebooks/assignments/source/*/*.ipynb))

# The course's budget is stated for two cores, so that is what the tests use, on a machine of any size.
THREADS = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-2}

# The stamp is written last and names the folder, so an install that was interrupted, moved, or lost its Python is redone.
STALE := $(shell [ "$$(cat $(STAMP) 2>/dev/null)" = "$$(pwd -P)" ] && $(PY) -c '' 2>/dev/null || echo stale)

.DEFAULT_GOAL := help
.PHONY: help install lab test test-all test-colab test-binder test-oldest test-site browser speed site pdf seeds notebooks bench course grade release address lint clean stale

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'Settings, as in `make lab PORT=9000 BROWSER=none`:'
	@echo '  PYTHON=python3.12   the Python that makes $(VENV) (3.11 or newer)'
	@echo '  PIP_ARGS="..."      passed to pip, for instance another package index'
	@echo '  TORCH_INDEX=...     take torch and torchvision from this index, both, before the rest (CPU-only builds)'
	@echo '  PORT=  BROWSER=none for make lab;  NB=notebooks/02_....ipynb for make notebooks;  ALL=1 for make clean'
	@echo "  ARGS='--models dense' for make bench, ARGS='--jobs 4' for make grade; ARGS=--help lists what each takes"
	@echo '  COURSE=~/my-course  the folder of a class, for make course and make grade'

install: $(STAMP) ## make .venv and install the course into it (safe to repeat)
	@echo 'The course is installed in $(VENV). Next: make lab, or make test.'

$(STAMP): pyproject.toml $(STALE)
	@rm -f $@
	@if ! { $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' && $(PY) -m pip --version; } >/dev/null 2>&1; then \
	  if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found=$$($(PYTHON) --version 2>&1) || found='not a Python that runs here'; \
	    echo "The course needs Python 3.11 or newer, but \`$(PYTHON)\` is $$found." >&2; \
	    echo 'Install a newer Python and name it: make install PYTHON=python3.12' >&2; \
	    exit 1; \
	  fi; \
	  echo "== Making $(VENV) with $$($(PYTHON) --version)"; \
	  $(PYTHON) -m venv --clear $(VENV) || { \
	    echo 'Could not make $(VENV). On Debian and Ubuntu the module is a package of its own: apt install python3-venv' >&2; \
	    exit 1; \
	  }; \
	fi
	@echo '== Installing the course and what it needs into $(VENV) (the first time: some minutes, up to 6 GB with a GPU build of torch)'
	@$(if $(TORCH_INDEX),$(PY) -m pip install --index-url '$(TORCH_INDEX)' torch torchvision,:)
	@$(PY) -m pip install $(PIP_ARGS) -e '.[lab,test]'
	@pwd -P > $@

# What not everybody needs: nbgrader for teachers, Sphinx for the website, the trainers that ours is compared with.
$(EXTRA)%: $(STAMP)
	@echo "== Installing what is needed for '$*' into $(VENV)"
	@$(PY) -m pip install $(PIP_ARGS) -e '.[$*]'
	@touch $@

stale:

lab: $(STAMP) ## open JupyterLab at notebooks/00_start_here.ipynb
	@echo '== JupyterLab at $(START); Ctrl-C here stops it'
	@$(PY) -m jupyterlab --ServerApp.root_dir="$$PWD" --LabApp.default_url=/lab/tree/$(START) \
	  $(if $(PORT),--port=$(PORT)) $(if $(filter none,$(BROWSER)),--no-browser) \
	  $$(if [ "$$(id -u)" = 0 ]; then echo --allow-root; fi)

test: $(EXTRA)teach $(EXTRA)site ## lint, the unit tests, every notebook through nbval, and the course in a browser
	@echo '== 1 of 5: lint'
	@$(LINT)
	@echo '== 2 of 5: unit tests'
	@OMP_NUM_THREADS=1 MPLBACKEND=Agg $(PY) -m pytest -m 'not browser' $(TWO) --dist=loadfile --durations=10 tests
	@echo '== 3 of 5: $(words $(NOTEBOOKS)) notebooks'
	@$(SOME)
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --keep-going --jobs=2 $(NOTEBOOKS:%=nbval/%)
	@echo '== 4 of 5: JupyterLab in a browser'
	@$(BROWSERS)
	@echo '== 5 of 5: how many pictures a second follow a slider and the pen'
	@$(SPEED)

test-all: ## make test, then the legs: Colab beside the oldest versions, Binder, website (about an hour and a half)
	@$(MAKE) --no-print-directory test
	@OMP_NUM_THREADS=1 $(MAKE) --no-print-directory --jobs=2 test-colab test-oldest test-binder
	@$(MAKE) --no-print-directory test-site

test-colab: $(EXTRA)teach ## each notebook alone in an empty folder, with the versions that Colab has
	@$(THREADS) PIP_ARGS='$(PIP_ARGS)' $(PY) .ci/legs.py colab $(NB) $(ARGS)

test-binder: $(EXTRA)teach ## each notebook on one core, in the memory that Binder gives
	@$(PY) .ci/legs.py binder $(NB) $(ARGS)

test-oldest: $(EXTRA)teach ## unit tests and notebooks with the oldest versions that pyproject.toml admits
	@$(THREADS) PIP_ARGS='$(PIP_ARGS)' $(PY) .ci/legs.py oldest $(NB) $(ARGS)

test-site: $(EXTRA)site ## the website and its PDF files, built and read in Chromium
	@OMP_NUM_THREADS=1 $(PY) .ci/website.py site
	@OMP_NUM_THREADS=1 $(PY) -m pytest $(TWO) --dist=loadscope tests/test_site.py tests/test_browser_site.py tests/test_browser_print.py

browser: $(STAMP) ## the course in JupyterLab in Chromium; pictures of it go to build/browser
	@$(BROWSERS)

site: $(EXTRA)site ## the course as a website, in build/site: open index.html
	@$(PY) .ci/website.py site

pdf: $(EXTRA)site ## each chapter as a PDF file, in build/pdf (needs Chromium)
	@$(PY) .ci/website.py pdf

BROWSERS = OMP_NUM_THREADS=1 MPLBACKEND=Agg \
  $(PY) -m pytest -m 'browser and not alone and not site' $(TWO) --dist=loadscope --durations=10 tests

speed: $(STAMP) ## how many pictures a second follow a slider and the pen (nothing may run beside it)
	@$(SPEED)

# One at a time, and apart: what is measured is what a reader has, a machine for one.
SPEED = OMP_NUM_THREADS=1 MPLBACKEND=Agg $(PY) -m pytest -m 'browser and alone' -q tests

# Two at a time, a thread each.
TWO = --numprocesses=2

# One line a notebook; of one that fails, the report, which names the cell and shows its source and its error.
nbval/%: stale
	@mkdir -p build/nbval; log=build/nbval/$(notdir $*).log; \
	if $(NBVAL) -q $* >$$log 2>&1; then printf '   passed  %4d s  %s\n' $$SECONDS $*; \
	else printf '   FAILED  %4d s  %s\n' $$SECONDS $*; cat $$log; exit 1; fi

seeds: $(STAMP) ## every notebook under AETUTOR_SEED 0 to 4: do all claims hold? (about an hour)
	@$(SOME)
	@for seed in 0 1 2 3 4; do \
	  echo "== AETUTOR_SEED=$$seed"; \
	  AETUTOR_SEED=$$seed $(NBVAL) -q $(or $(NB),$(NOTEBOOKS)) || exit 1; \
	done

NBVAL = env -u MPLBACKEND $(THREADS) $(PY) .ci/run_nbval.py --nbval-lax --nbval-current-env --nbval-cell-timeout=300

# No notebook is a mistake, not a success: a green run would say that what nobody looked at is well.
SOME = [ -n '$(or $(NB),$(NOTEBOOKS))' ] || { echo 'No notebook found in notebooks/.' >&2; exit 1; }

notebooks: $(STAMP) ## re-execute every notebook in place, or those that NB= names
	@$(SOME)
	@$(THREADS) $(PY) .ci/execute_notebooks.py $(or $(NB),$(NOTEBOOKS))
	@$(PY) .ci/readme_picture.py

bench: $(EXTRA)bench ## train.fit beside Lightning, skorch, Keras and a plain loop: speed and memory (about 20 minutes)
	@$(THREADS) $(PY) -m benchmarks.trainers $(ARGS)

course: $(EXTRA)teach ## make the folder COURSE= for a class, with the assignments in it (adds what is missing, overwrites nothing)
	@$(NAMED)
	@COURSE='$(subst ','\'',$(COURSE))'; $(PY) -m aetutor.grading "$$COURSE" --setup $(ARGS)

grade: $(EXTRA)teach ## repair, run in a sandbox, score and report what students handed in to the folder COURSE=
	@$(NAMED)
	@COURSE='$(subst ','\'',$(COURSE))'; $(PY) -m aetutor.grading "$$COURSE" $(ARGS)

address: $(EXTRA)teach ## move the course to another repository: REPO=owner/name, in badges, set-up cells and pages
	@$(PY) .ci/address.py $(if $(REPO),'$(REPO)') $(ARGS)

release: $(EXTRA)teach ## make the student copies of the assignments again, after a change to their source
	@$(PY) -m aetutor.grading --release

NAMED = [ -n '$(subst ','\'',$(COURSE))' ] || { echo 'Name the folder of the class: make $@ COURSE=path' >&2; exit 1; }

LINT = $(PY) -m ruff check . && $(PY) -m ruff format --check . \
  || { echo 'To mend what can be mended: $(PY) -m ruff check --fix . ; $(PY) -m ruff format .' >&2; exit 1; }

lint: $(STAMP) ## check code and notebooks with ruff
	@$(LINT)

clean: ## remove caches and build outputs; with ALL=1 also .venv
	@rm -rf build dist .pytest_cache .ruff_cache *.egg-info $(if $(ALL),$(VENV))
	@find . -path ./$(VENV) -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
	@echo 'Removed caches and build outputs$(if $(ALL), and $(VENV)).'
