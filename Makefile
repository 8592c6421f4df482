# `make help` lists what there is. Needs Python 3.11 or newer, make and git; brings everything else.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# What a person hands over is data: make expands nothing in these values, and recipes take them from
# the environment ("$$STUDY"), so that the shell expands nothing either. Only leading blanks are
# lost, and `make 'STUDY:=…'` is make's own language.
override STUDY := $(value STUDY)
override A := $(value A)
override B := $(value B)
override FOLDER := $(value FOLDER)
override PHOTOS := $(value PHOTOS)
override PHOTO := $(value PHOTO)
export STUDY A B FOLDER PHOTOS PHOTO
# Compiled code is kept: without it every stage would compile torch anew, which takes longer than all
# else that it does at its start.
unexport PYTHONDONTWRITEBYTECODE
UV := $(shell command -v uv || echo .uv/bin/uv)
RUN := $(UV) run --frozen
# Without progress bars, and without the start-up files of the person whose machine it is.
KERNELS := TQDM_DISABLE=1 PYTHONSTARTUP= IPYTHONDIR="$(CURDIR)/.venv/ipython"

.PHONY: help setup look doctor repro test test-package test-notebooks compare sweep pages publish lab notebooks lint bench audit clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

.uv/bin/uv:
	python3 -m venv .uv || { echo "make: python3 lacks venv; install uv, or your system's python3-venv" >&2; exit 2; }
	.uv/bin/python -m pip install --quiet uv

setup: | $(UV) ## install everything into .venv, as uv.lock pins it
	$(UV) sync --frozen --quiet

look: setup ## show what a pretrained network sees in PHOTO=picture, or in some examples, and where
	$(RUN) camloc look $(if $(PHOTO),-- "$$PHOTO")

doctor: setup ## tell whether all is there for the study of params.yaml or STUDY=name, and how long it takes
	$(RUN) camloc doctor $(if $(STUDY),-- "$$STUDY")

repro: setup ## run the study of params.yaml; STUDY=name takes params/name.yaml first, FOLDER=dir holds its images
	$(if $(FOLDER),$(if $(STUDY),,$(error FOLDER needs STUDY=name, the study whose images are there)))
	$(if $(STUDY),$(RUN) camloc use $(if $(FOLDER),"--folder=$$FOLDER") -- "$$STUDY")
	$(RUN) camloc check --keys
	$(RUN) dvc repro

test: setup ## run all tests, tell which share of the code they cover, and check the notebooks
	$(MAKE) --jobs=2 --output-sync=target test-package test-notebooks

test-package: setup
	$(RUN) pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report= tests

test-notebooks: setup
	rm -rf data/smoke
	$(KERNELS) OMP_NUM_THREADS=1 $(RUN) pytest notebooks

compare: setup ## write a page that compares two revisions: A=commit, branch or experiment, B=…
	$(if $(and $(A),$(B)),,$(error compare needs A=… and B=…: commits, branches, experiments or workspace))
	$(RUN) camloc compare -- "$$A" "$$B"

sweep: setup ## write a page of the experiments that began from this commit: parameters and errors
	$(RUN) camloc sweep

pages: setup ## open every page of the finished report in headless Chromium and check it
	CAMLOC_REPORT=reports $(RUN) pytest tests/report/test_pages.py

publish: setup ## put a finished run's results into reports/published, which the README and docs quote
	$(RUN) camloc publish

lab: setup ## open JupyterLab on the notebooks
	$(RUN) jupyter lab notebooks

notebooks: setup ## run the notebooks on the smoke study and keep their outputs for the tests
	rm -rf data/smoke
	$(KERNELS) $(RUN) jupyter nbconvert --log-level=ERROR --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False --ClearMetadataPreprocessor.enabled=True \
		--ClearMetadataPreprocessor.clear_cell_metadata=False \
		--ClearMetadataPreprocessor.preserve_nb_metadata_mask=kernelspec \
		--ClearMetadataPreprocessor.preserve_nb_metadata_mask=language_info notebooks/*.ipynb

lint: setup ## check style
	$(RUN) ruff check .
	$(RUN) ruff format --check .

bench: setup ## measure speed, and read thousands of damaged files; PHOTOS=dir decodes your own files
	$(RUN) python benchmarks/throughput.py
	$(RUN) python benchmarks/scaling.py
	$(RUN) python benchmarks/input.py $(if $(PHOTOS),"--photos=$$PHOTOS")
	$(RUN) python benchmarks/evaluation.py
	$(RUN) python benchmarks/map_methods.py
	$(RUN) python benchmarks/verdicts.py
	$(RUN) python benchmarks/damaged.py

audit: setup ## known vulnerabilities of what is installed, where their list can be reached; its licences
	if curl --silent --fail --max-time 20 --output /dev/null https://pypi.org/pypi/pip/24.0/json; then \
		$(UV) export --frozen --quiet --no-hashes --no-emit-project | \
			$(RUN) --with pip-audit pip-audit --disable-pip --no-deps --requirement /dev/stdin; \
	else echo "pip-audit skipped: pypi.org, which lists vulnerabilities, does not answer"; fi
	(sed '/^|/,$$d' docs/licences.md; $(RUN) --with pip-licenses pip-licenses --from=mixed \
		--with-system --ignore-packages pip-licenses prettytable --no-version --format=markdown | \
		sed 's/  */ /g; /^|-/s/--*/---/g') > docs/licences.md.new
	mv docs/licences.md.new docs/licences.md

clean: ## remove what the pipeline wrote; downloads, DVC's cache and the environment stay
	rm -rf $(addprefix reports/,html index.html compare.html sweep.html look notebooks plots figures summary.md leaderboard.csv)
	rm -rf $(addprefix data/,fingerprints manifest truth pictures copies copies.json body-maps networks predictions evaluation smoke stage_seconds)
