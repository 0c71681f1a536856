"""What the base installation does, which has no PyTorch: all of denoising, with the voxels that PyTorch gives."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.inference.backends import openvino
from LDCTDenoiseLib.simulation.phantom import make_phantom
from LDCTDenoiseLib.worker.client import JobError
from LDCTDenoiseLib.worker.exchange import ExchangeFolder
from LDCTDenoiseLib.worker.messages import Report
from Testing.conftest import REPOSITORY
from Testing.dicom.dicom_files import save_series
from Testing.worker.worker_process import WorkerSession, denoise_request, output_of

pytestmark = pytest.mark.skipif(not openvino.is_installed(), reason="openvino has no wheel for this machine")

EXTRAS = [
    "torch",
    "torchmetrics",
    "pytorch_lightning",
    "pytorch_optimizer",
    "tensorboard",
    "yaml",
    "skimage",
    "scipy",
    "jinja2",
    "pandas",
    "matplotlib",
    "idc_index",
    "pylibjpeg",
    "onnx",
    "fsspec",
    "s3fs",
    "dicomweb_client",
    "ray",
]


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Child processes cannot import the extras' packages; gives a folder."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nfor name in {EXTRAS!r}:\n    sys.modules[name] = None\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(REPOSITORY)]))
    return tmp_path


def run(folder: Path, *lines: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Command lines, one after the other, in one process; its output ends with their exit codes."""
    code = (
        "import sys, json\n"
        "from LDCTDenoiseLib.commands.command_line import main\n"
        f"{before}\n"
        f"codes = [main(line.split()) for line in {lines!r}]\n"
        "assert 'torch' not in sys.modules or sys.modules['torch'] is None\n"
        "print(json.dumps(codes))"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)


def write(path: Path, hu: np.ndarray) -> np.ndarray:
    path.parent.mkdir(exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(path))
    return hu


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_without_torch_every_command_of_denoising_works(base: Path) -> None:
    low = write(base / "in" / "low.nrrd", make_phantom(2, 96).scan(0.25))
    save_series(base / "in" / "series", [1, 2, 3])
    done = run(
        base,
        "denoise in/low.nrrd out.nrrd --quiet --json",
        "batch in many --quiet",
        "series in/series",
        "models",
        "info",
        "simulate in/low.nrrd lower.nrrd --dose 0.5 --quiet",
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0] * 6, done.stderr
    assert '"backend": "openvino"' in done.stdout
    assert "extra torch: " in done.stdout
    expected = Denoiser(device="cpu", backend="torch")(low)
    for path in ("out.nrrd", "many/low.nrrd"):
        found = read(base / path)
        assert np.abs(found.astype(int) - expected).max() <= 1  # where the sum lies on a half
        assert (found != expected).mean() < 0.001
    assert len(list((base / "many" / "series").iterdir())) == 3
    assert not np.array_equal(read(base / "lower.nrrd"), low)


def test_the_demo_needs_pillow_beside_the_base(base: Path) -> None:
    small = "from LDCTDenoiseLib.demo.denoising_demo import run_demo; run_demo.__kwdefaults__.update(slices=1, size=128)"
    done = run(base, "demo --out demo", before=small)
    assert "output" in done.stdout
    assert {path.name for path in (base / "demo").iterdir()} == {"demo.png", "phantom.nrrd", "low_dose.nrrd", "denoised.nrrd"}


def test_what_needs_torch_says_what_to_install(base: Path) -> None:
    write(base / "low.nrrd", make_phantom(1, 64).scan(0.25))
    done = run(
        base,
        "denoise low.nrrd out.nrrd --backend torch",
        "denoise low.nrrd out.nrrd --device cuda",
        "export default out.onnx",
        "train --config default --data low.nrrd --out o",
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [1] * 4
    lines = [line for line in done.stderr.splitlines() if line.startswith("ldctdenoise:")]
    assert lines[0] == "ldctdenoise: PyTorch is not installed. Install it: pip install 'ldctdenoise[torch]'."
    assert "CUDA cannot be used" in lines[1]
    assert "pip install 'ldctdenoise[" in lines[2]
    assert "pip install 'ldctdenoise[train]'" in lines[3]
    assert not (base / "out.nrrd").exists()


def test_a_batch_from_a_store_says_what_to_install(base: Path) -> None:
    write(base / "in" / "low.nrrd", make_phantom(1, 64).scan(0.25))
    (base / "web.csv").write_text("input,output\nhttps://pacs/dicom-web/studies/1.2/series/1.3,a\n")
    (base / "s3.csv").write_text("input,output\ns3://bucket/a.nrrd,a.nrrd\n")
    done = run(base, "batch s3://bucket/ct out", "batch in s3://bucket/out", "batch s3.csv out", "batch web.csv out")
    assert json.loads(done.stdout.splitlines()[-1]) == [1] * 4
    lines = [line for line in done.stderr.splitlines() if line.startswith("ldctdenoise:")]
    assert [("[stores]" in line, "[dicomweb]" in line) for line in lines] == [(True, False)] * 3 + [(False, True)]
    assert all("which is not installed: pip install 'ldctdenoise[" in line for line in lines)
    assert not (base / "out").exists()


def test_the_base_pulls_no_package_of_stores_and_clusters() -> None:
    """All that the base requires, and what that requires."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    new = needed(project["dependencies"])
    required: set[str] = set()
    while new - required:
        name = (new - required).pop()
        required.add(name)
        with contextlib.suppress(PackageNotFoundError):  # for another platform
            new |= needed(requires(name) or [])
    assert {"numpy", "openvino"} <= required
    assert not required & {"fsspec", "s3fs", "aiobotocore", "botocore", "dicomweb-client", "ray"}


def needed(lines: list[str]) -> set[str]:
    """Names of the packages that requirements without extras need here."""
    found = map(Requirement, lines)
    return {canonicalize_name(one.name) for one in found if one.marker is None or one.marker.evaluate({"extra": ""})}


def test_the_worker_denoises_without_torch(base: Path) -> None:
    low = make_phantom(1, 64).scan(0.25)
    code = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r})); import LDCTDenoiseLib.worker.serve as s; s.main()"
    folder, session = ExchangeFolder(base), WorkerSession([sys.executable, "-c", code])
    try:
        report = session.run(Report())
        assert (report.torch, report.torch_problem) == (None, "PyTorch is not installed.")
        assert report.devices[-1]["name"] == "cpu"
        request = denoise_request(folder, low, "default")
        session.run(request)
        expected = Denoiser(device="cpu", backend="torch")(low)
        assert np.abs(output_of(request).astype(int) - expected).max() <= 1
        with pytest.raises(JobError, match=r"PyTorch is not installed|CUDA"):
            session.run(denoise_request(folder, low, "default", device="cuda"))
    finally:
        session.client.shutdown()
        folder.remove()
