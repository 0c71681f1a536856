# make demo and make test need nothing but Python 3.11 and, where python3 has no venv, the right to install it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
TORCH := $(shell grep '^torch==' constraints.txt)
SHARED ?= $(or $(LDCT_SHARED),../shared)
DATA ?= $(SHARED)/data/train
VGG_WEIGHTS ?= $(SHARED)/weights/vgg16_features_to_relu4_3.safetensors
RUN ?= runs/default
DEMO_OUT ?= demo-output
EVERY ?= 1
MINUTES ?= 30
# What Qt without a display needs of Debian and Ubuntu, and a font for its pictures (PySide6 brings none).
QT_SYSTEM := libegl1 libgl1 libglib2.0-0 libx11-6 libxkbcommon0 libdbus-1-3 libfontconfig1 libfreetype6 fonts-dejavu-core
QT_WORKS := from PySide6 import QtGui, QtWidgets; app = QtWidgets.QApplication([]); exit(not QtGui.QFontDatabase.families())
# Programs that judge DICOM output, Debian and Ubuntu.
DICOM_PROGRAMS := dicom3tools dcm2niix
# The archive that the slow tests start, Debian and Ubuntu; its plugin is not everywhere.
ORTHANC := orthanc
ORTHANC_WEB := orthanc-dicomweb

.PHONY: demo demo-train test test-slow soak lint format bench screenshots train-default figures results docs clean

demo: $(INSTALLED)
	$(BIN)/ldctdenoise demo --out $(DEMO_OUT)

# A tiny cascade trained on phantoms and judged on one that it has not seen; minutes.
demo-train: $(INSTALLED)
	rm -rf $(DEMO_OUT)/train
	$(BIN)/ldctdenoise demo --train configs/demo.yaml --out $(DEMO_OUT)/train $(if $(wildcard $(VGG_WEIGHTS)),--vgg-weights $(VGG_WEIGHTS))

test: $(INSTALLED)
	$(BIN)/python -m pytest --doctest-modules LDCTDenoiseLib -q
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(INSTALLED)
	PATH="$$PATH:/usr/sbin" command -v Orthanc >/dev/null || \
	  { apt-get update && apt-get install -y --no-install-recommends $(ORTHANC) && \
	    { apt-get install -y --no-install-recommends $(ORTHANC_WEB) || true; }; } >/dev/null 2>&1 || \
	  echo "No $(ORTHANC): the tests that need it will be skipped."
	$(BIN)/python -m pytest -m slow

# Series after series in one worker: memory and file handles must stay flat.
soak: $(INSTALLED)
	$(BIN)/python -m Testing.worker.soak --minutes $(MINUTES)

lint: $(INSTALLED) docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=LDCTDenoise $(BIN)/lint-imports --no-logo

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.engine_speed
	$(BIN)/python -m benchmarks.slicer_responsiveness

# The README's pictures of the Slicer module and its sample data's thumbnails.
screenshots: $(INSTALLED)
	$(BIN)/python docs/thumbnails.py
	$(BIN)/python -m docs.screenshots

# The shipped model: train (goes on from what the run folder holds), measure on the test patients, ship.
train-default: $(INSTALLED)
	$(BIN)/ldctdenoise train --config configs/default.yaml --data $(DATA) --out $(RUN) --cache cache --start-from default --resume
	cp $(RUN)/default.safetensors $(RUN)/default.md LDCTDenoiseLib/models/shipped/
	$(MAKE) figures

# The model card's figures, measured on the test patients and written into the shipped model and its card.
figures: $(INSTALLED)
	$(BIN)/python -m benchmarks.model_quality --data $(DATA) --every $(EVERY) --write

# The paper's experiments, trained (on a CUDA GPU in full, else A to D on a small budget) and shown in docs/results; goes on where
# it was stopped.
results: $(INSTALLED)
	$(BIN)/python -m benchmarks.paper_results --data $(DATA) --vgg-weights $(VGG_WEIGHTS)

# The documentation site, in build/site; a warning is an error.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir build/site

clean:
	rm -rf $(VENV) build dist *.egg-info demo-output

# torch first and alone: a package that depends on it would otherwise bring the registry's newest, largest build.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); apt-get update && apt-get install -y python3-venv && $(PYTHON) -m venv $(VENV); }
	$(BIN)/pip install -q $(TORCH)
	$(BIN)/pip install -q -c constraints.txt -e '.[report,train,dicom,openvino,onnx,docs,test]'
	QT_QPA_PLATFORM=offscreen $(BIN)/python -c '$(QT_WORKS)' >/dev/null 2>&1 || \
	  { apt-get update && apt-get install -y --no-install-recommends $(QT_SYSTEM); } >/dev/null 2>&1 || \
	  echo "No system libraries for Qt: the tests of the Slicer module will be skipped."
	{ command -v dciodvfy && command -v dcm2niix; } >/dev/null || \
	  { apt-get update && apt-get install -y --no-install-recommends $(DICOM_PROGRAMS); } >/dev/null 2>&1 || \
	  echo "No $(DICOM_PROGRAMS): the tests that need them will be skipped."
	touch $@
