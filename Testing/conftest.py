"""Fixtures that several test files share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from LDCTDenoiseLib.measures.signal_kept import places_for
from LDCTDenoiseLib.models.cascade import SYSTEMS, Cascade
from LDCTDenoiseLib.models.model_file import save_model
from LDCTDenoiseLib.models.model_info import ModelInfo
from LDCTDenoiseLib.models.networks import initialise
from Testing.commands.denoise_many import DenoiseMany
from Testing.slicer.slicer_panel import logic, one_worker, panel, traces, warm_panel, worker_waits
from Testing.slicer_standin.fixtures import slicer_app

__all__ = ["logic", "one_worker", "panel", "slicer_app", "traces", "warm_panel", "worker_waits"]

REPOSITORY = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name != "training")  # its files take longest, and no worker should end on one
    if torch.cuda.is_available():
        return
    for item in items:
        if "cuda" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA GPU on this machine"))


@pytest.fixture(autouse=True)
def usual_logging() -> None:
    """The command line run within a test sets the level for its process: no test inherits another one's ``--quiet``."""
    logging.getLogger("LDCTDenoiseLib").setLevel(logging.INFO)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real CT data, which is not part of the project."""
    folder = Path(os.environ.get("LDCT_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared CT data at {folder} (set LDCT_SHARED)")
    return folder


@pytest.fixture(scope="module")
def few_places() -> Iterator[None]:
    """Ten passes for each lesion become two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("LDCTDenoiseLib.evaluation.local_response.places_for", partial(places_for, fewest=4))
        yield


@pytest.fixture(scope="module")
def denoise_many() -> Iterator[DenoiseMany]:
    """Commands in a child process, whose crash is seen and ends no test."""
    child = DenoiseMany()
    yield child
    child.close()


def random_cascade(system: str = "C", seed: int = 0) -> Cascade:
    """A cascade that changes an image by some tens of HU, with batch-norm statistics that matter."""
    torch.manual_seed(seed)
    cascade = Cascade(SYSTEMS[system])
    for index in range(len(cascade.levels)):
        initialise(cascade.network(index))
        torch.nn.init.normal_(cascade.network(index).last_layer.weight, std=2e-4)
    random_statistics(cascade)
    return cascade.eval()


def random_statistics(module: torch.nn.Module) -> None:
    """Batch-norm statistics and weights that matter: fresh ones would hide a wrong folding."""
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid model file: system C with random weights."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    cascade = random_cascade()
    save_model(cascade, ModelInfo("tiny", cascade.levels, purpose="tests"), path)
    return path
