"""What `pip` gets: a wheel with all that commands need and links that work from an index, and a source whose tests run."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from LDCTDenoiseLib import __version__
from Testing.conftest import REPOSITORY


def tracked() -> list[str]:
    told = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.skip("not a git repository")
    return [name for name in told.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is in git, which a build may write into."""
    folder = tmp_path_factory.mktemp("source")
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, folder / name)
    return folder


def build(source: Path, kind: str) -> Path:
    """Build as pip does, with the backend that pyproject.toml names."""
    out = source / "out"
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out / done.stdout.splitlines()[-1]


def test_the_wheel_is_complete_and_its_links_are_absolute(source: Path) -> None:
    with zipfile.ZipFile(build(source, "wheel")) as wheel:
        names = set(wheel.namelist())
        metadata = email.message_from_bytes(wheel.read(f"ldctdenoise-{__version__}.dist-info/METADATA"))
    library = {name for name in tracked() if name.startswith("LDCTDenoiseLib/") and not name.endswith("CMakeLists.txt")}
    assert library <= names
    assert {name.partition("/")[0] for name in names} == {"LDCTDenoiseLib", f"ldctdenoise-{__version__}.dist-info"}
    text = str(metadata.get_payload())
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert len(targets) > 10
    assert [target for target in targets if not target.startswith("https://")] == []
    for target in targets:
        found = re.match(
            r"https://(?:github|raw\.githubusercontent)\.com/LDCTDenoise/SlicerLDCTDenoise/(?:blob/)?main/(.*)", target
        )
        if found:
            assert (REPOSITORY / found[1].partition("#")[0]).exists(), target
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert len(metadata.get_all("Project-URL")) >= 4
    assert "Programming Language :: Python :: 3.13" in metadata.get_all("Classifier")
    assert "low-dose" in metadata["Keywords"]
    assert metadata["License-Expression"] == "Apache-2.0"


@pytest.mark.slow
def test_the_source_distribution_is_the_repository_and_its_tests_run(source: Path, tmp_path: Path) -> None:
    with tarfile.open(build(source, "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    made = {"PKG-INFO", "setup.cfg", *(f"ldctdenoise.egg-info/{path.name}" for path in unpacked.glob("*.egg-info/*"))}
    found = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert found == set(tracked()) | made
    environment = os.environ | {"PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"}
    files = [
        "Testing/ct",
        "Testing/models/test_model_file.py",
        "Testing/commands/test_usage.py",
        "Testing/repository/test_packaging.py",
    ]
    collect = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    for command in ([*collect, "--collect-only"], [*collect, *files]):
        done = subprocess.run(command, cwd=unpacked, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:]
