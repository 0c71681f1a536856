"""What is shipped: nothing forgotten, nothing that inference or Slicer would miss."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import SimpleITK as sitk

from Testing.conftest import REPOSITORY

LIBRARY = REPOSITORY / "LDCTDenoiseLib"
MODULE = REPOSITORY / "LDCTDenoise"


def listed(cmake: Path, variable: str) -> set[str]:
    """Entries of a ``set(variable ...)`` in a CMake file."""
    found = re.search(rf"set\({variable}\s+(.*?)\)", cmake.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{variable} is not set in {cmake}"
    return set(found[1].replace("${MODULE_NAME}", "LDCTDenoise").split())


def on_disk(folder: Path, *patterns: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for pattern in patterns for path in folder.rglob(pattern)}


NOT_IN_SLICER = ("commands/", "data/", "demo/", "adaptation/", "evaluation/", "training/", "__main__.py")


def test_cmake_installs_every_file_of_the_library_that_the_worker_needs() -> None:
    cmake = LIBRARY / "CMakeLists.txt"
    for variable, patterns in (("LIBRARY_SCRIPTS", ["*.py"]), ("LIBRARY_RESOURCES", ["*.safetensors", "*.md", "*.html"])):
        files = on_disk(LIBRARY, *patterns)
        assert listed(cmake, variable) == {name for name in files if not name.startswith(NOT_IN_SLICER)}


def test_what_cmake_installs_needs_nothing_that_it_leaves_out(tmp_path: Path) -> None:
    cmake = LIBRARY / "CMakeLists.txt"
    scripts = listed(cmake, "LIBRARY_SCRIPTS")
    for name in scripts | listed(cmake, "LIBRARY_RESOURCES"):
        target = tmp_path / "LDCTDenoiseLib" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(LIBRARY / name, target)
    names = [f"LDCTDenoiseLib/{name}".removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in scripts]
    names.remove("LDCTDenoiseLib.worker.__main__")
    lines = [*(f"import {name}" for name in sorted(names)), "print(LDCTDenoiseLib.__file__)"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))


def test_cmake_installs_every_file_of_the_module() -> None:
    cmake = MODULE / "CMakeLists.txt"
    assert listed(cmake, "MODULE_PYTHON_SCRIPTS") == on_disk(MODULE, "*.py")
    assert listed(cmake, "MODULE_PYTHON_RESOURCES") == on_disk(MODULE, "*.png", "*.ui", "*.txt") - {"CMakeLists.txt"}


def test_the_distribution_holds_every_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {f"LDCTDenoiseLib/{init}".rpartition("/")[0].replace("/", ".") for init in on_disk(LIBRARY, "__init__.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == packages
    assert project["tool"]["setuptools"]["package-data"]["LDCTDenoiseLib"] == ["py.typed"]
    assert (LIBRARY / "py.typed").is_file()


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)


def test_help_does_not_wait_for_torch() -> None:
    code = """
import sys
from LDCTDenoiseLib.commands.command_line import build_parser
build_parser().format_help()
sys.exit("torch" in sys.modules)
"""
    assert run_python(code).returncode == 0


@pytest.mark.parametrize("icon", ["LDCTDenoise.png", "LDCTDenoise/Resources/Icons/LDCTDenoise.png"])
def test_the_icon_has_the_size_that_the_extensions_index_asks_for(icon: str) -> None:
    assert sitk.ReadImage(str(REPOSITORY / icon)).GetSize() == (128, 128)


def extension_value(name: str) -> str:
    """A value of the extension: one quoted string in the top CMake file."""
    found = re.search(rf'set\(EXTENSION_{name} "([^"]+)"\)', (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert found, f"EXTENSION_{name} is not one quoted string"
    return found[1]


def test_the_catalog_entry_says_what_the_extensions_index_demands() -> None:
    """Names and types are those of Slicer's slicer-extension-catalog-entry-schema-v1.0.2.json, which allows no others."""
    entry = json.loads((REPOSITORY / "LDCTDenoise.json").read_text(encoding="utf-8"))
    assert {name: type(value) for name, value in entry.items()} == {
        "$schema": str,
        "build_dependencies": list,
        "build_subdirectory": str,
        "category": str,
        "dicom_support_rule": str,
        "scm_revision": str,
        "scm_url": str,
        "tier": int,
    }
    assert entry["$schema"].endswith("/Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert 1 <= entry["tier"] <= 5
    assert entry["build_dependencies"] == extension_value("DEPENDS").split()
    assert entry["scm_url"] == extension_value("HOMEPAGE") + ".git"
    module = (MODULE / "LDCTDenoise.py").read_text(encoding="utf-8")
    assert f'translate("qSlicerAbstractCoreModule", "{entry["category"]}")' in module


def test_every_picture_of_the_extension_is_in_the_repository() -> None:
    home = extension_value("HOMEPAGE").replace("https://github.com", "https://raw.githubusercontent.com") + "/main/"
    for url in [extension_value("ICONURL"), *extension_value("SCREENSHOTURLS").split()]:
        assert url.startswith(home)
        assert (REPOSITORY / url.removeprefix(home)).is_file(), url


def test_the_pictures_are_small_enough_for_the_repository() -> None:
    pictures = list((REPOSITORY / "docs" / "images").glob("*.png"))
    assert pictures
    assert sum(path.stat().st_size for path in pictures) < 1.5e6
