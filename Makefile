# make demo and make test need Python 3.11 to 3.13 with its venv, and nothing else; what they install goes into .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# PyTorch for the tests: cpu takes a build without CUDA where the package index has one (give another index with TORCH_INDEX=URL).
TORCH ?= $(if $(wildcard /dev/nvidia[0-9]*),cuda,cpu)
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
BASE := $(VENV)/base
INSTALLED := $(VENV)/installed
# Bytecode is made when it is first needed: less disk, and less time to install. Some images forbid it: every process of the tests would
# compile PyTorch anew.
PIP := $(BIN)/pip install --disable-pip-version-check --no-compile
unexport PYTHONDONTWRITEBYTECODE
TORCH_PIN := $(shell grep '^torch==' constraints.txt)
TORCH_PIP := $(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
NO_CPU_BUILD := "The package index has no CPU build of PyTorch for this Python, so its usual build is installed: on Linux with CUDA, \
about 3 GB to download and 7 GB in $(VENV). For the small one stop with Ctrl-C and run: make test TORCH_INDEX=URL, with the index of \
CPU builds that pytorch.org names."
SHARED ?= $(or $(LDCT_SHARED),../shared)
DATA ?= $(SHARED)/data/train
VGG_WEIGHTS ?= $(SHARED)/weights/vgg16_features_to_relu4_3.safetensors
RUN ?= runs/default
DEMO_OUT ?= demo-output
EVERY ?= 1
MINUTES ?= 30
# Memory that a training step gives back is kept, in large pages: a fifth to a third less processor time on a CPU.
KEEP_MEMORY := GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184
# What Qt without a display needs of Debian and Ubuntu, and a font for its pictures (PySide6 brings none).
QT_SYSTEM := libegl1 libgl1 libglib2.0-0 libx11-6 libxkbcommon0 libdbus-1-3 libfontconfig1 libfreetype6 fonts-dejavu-core
QT_WORKS := from PySide6 import QtGui, QtWidgets; app = QtWidgets.QApplication([]); exit(not QtGui.QFontDatabase.families())
# Programs that judge DICOM output, Debian and Ubuntu.
DICOM_PROGRAMS := dicom3tools dcm2niix
# The archive that the slow tests start, Debian and Ubuntu; its plugin is not everywhere.
ORTHANC := orthanc
ORTHANC_WEB := orthanc-dicomweb

.PHONY: demo demo-train test test-slow soak lint format bench screenshots architecture train-default figures results docs clean

demo: $(BASE)
	$(BIN)/ldctdenoise demo --out $(DEMO_OUT)

# A tiny cascade trained on phantoms and judged on one that it has not seen; minutes.
demo-train: $(INSTALLED)
	rm -rf $(DEMO_OUT)/train
	$(BIN)/ldctdenoise demo --train demo --out $(DEMO_OUT)/train $(if $(wildcard $(VGG_WEIGHTS)),--vgg-weights $(VGG_WEIGHTS))

# Test files run side by side, in one more worker than cores since some tests wait, and in four at most: a worker takes about 1 GB.
WORKERS = $$($(BIN)/python -c 'from LDCTDenoiseLib.system.devices import usable_cores; print(min(usable_cores() + 1, 4))')
test: $(INSTALLED)
	$(BIN)/python -m pytest --doctest-modules LDCTDenoiseLib -q
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: $(INSTALLED)
	PATH="$$PATH:/usr/sbin" command -v Orthanc >/dev/null || Testing/system_packages "Orthanc's tests are skipped" $(ORTHANC) || true
	PATH="$$PATH:/usr/sbin" command -v Orthanc >/dev/null && \
	  { test -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so || Testing/system_packages "Orthanc's web tests are skipped" $(ORTHANC_WEB); } || true
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
	$(BIN)/python -m benchmarks.installation
	$(BIN)/python -m benchmarks.base_packages
	$(BIN)/python -m benchmarks.documents

# The README's pictures of the Slicer module and its sample data's thumbnails.
screenshots: $(INSTALLED)
	$(BIN)/python docs/thumbnails.py
	$(BIN)/python -m docs.screenshots

# The picture of docs/architecture.md, from the code's imports.
architecture: $(INSTALLED)
	PYTHONPATH=LDCTDenoise $(BIN)/python docs/architecture.py

# The shipped model: train (goes on from what the run folder holds), measure on the test patients, ship.
train-default: $(INSTALLED)
	$(KEEP_MEMORY) $(BIN)/ldctdenoise train --config default --data $(DATA) --out $(RUN) --cache cache --start-from default --resume
	cp $(RUN)/default.safetensors $(RUN)/default.md LDCTDenoiseLib/models/shipped/
	$(MAKE) figures

# The model card's figures, measured on the test patients and written into the shipped model and its card.
figures: $(INSTALLED)
	$(BIN)/python -m benchmarks.model_quality --data $(DATA) --every $(EVERY) --write
	$(BIN)/python -m benchmarks.documents

# The paper's experiments in docs/results: trains what is not finished, for RESULTS_MINUTES at most (0: draws what there is), judges
# what is new, and goes on where it was stopped.
results: $(INSTALLED)
	$(KEEP_MEMORY) $(BIN)/python -m benchmarks.paper_results --data $(DATA) --vgg-weights $(VGG_WEIGHTS) $(if $(RESULTS_MINUTES),--minutes $(RESULTS_MINUTES))

# The documentation site, in build/site; a warning or a dead link is an error.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site
	$(BIN)/python -m docs.check_links build/site

clean:
	rm -rf $(VENV) build dist *.egg-info demo-output

# The base, and Pillow for the demo's picture.
$(BASE): pyproject.toml constraints.txt
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
	  Testing/system_packages "no virtual environment can be made" python3-venv && $(PYTHON) -m venv $(VENV); }
	@test -e $(INSTALLED) || echo "Downloading about 150 MB (OpenVINO, SimpleITK, numpy and smaller ones); $(VENV) then holds \
	about 0.6 GB. It takes half a minute with a fast connection."
	$(PIP) -c constraints.txt -e '.[demo]'
	@find $(VENV)/lib -name __pycache__ -prune -exec rm -rf {} +  # pip's own, 10 MB
	@touch $@

# torch first and alone: a package that depends on it would otherwise bring the registry's newest, largest build.
$(INSTALLED): $(BASE)
	@echo "Downloading what tests, training and documents need, about 0.9 GB with PyTorch for the CPU and 3.5 GB with CUDA \
	(TORCH=$(TORCH)); $(VENV) then holds about 3.6 GB, with CUDA 8 GB. It takes some minutes."
	@case $(TORCH) in cpu | cuda) ;; *) echo "TORCH is $(TORCH); it must be cpu or cuda."; exit 2 ;; esac
	$(if $(filter cpu,$(TORCH)),$(TORCH_PIP) '$(TORCH_PIN)+cpu' 2>/dev/null || { echo $(NO_CPU_BUILD); )$(TORCH_PIP) '$(TORCH_PIN)'$(if $(filter cpu,$(TORCH)),; })
	$(PIP) -c constraints.txt -e '.[report,train,dicom,stores,dicomweb,cluster,onnx,docs,test]'
	@QT_QPA_PLATFORM=offscreen $(BIN)/python -c '$(QT_WORKS)' >/dev/null 2>&1 || \
	  Testing/system_packages "the tests of the Slicer module are skipped" $(QT_SYSTEM) || true
	@{ command -v dciodvfy && command -v dcm2niix; } >/dev/null || \
	  Testing/system_packages "two judges of DICOM output are skipped" $(DICOM_PROGRAMS) || true
	@touch $@
