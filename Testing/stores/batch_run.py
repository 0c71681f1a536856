"""Run ``ldctdenoise batch`` in tests, and compare what it made."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest

from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.stores.objects import ObjectFolder

RECORDS = ".ldctdenoise.batch"


@dataclass
class Batch:
    """What a run of the command said."""

    code: int
    series: dict[str, dict[str, Any]]
    said: str

    @property
    def statuses(self) -> dict[str, str]:
        return {output: one["status"] for output, one in self.series.items()}

    def reason(self, output: str) -> str:
        return str(self.series[output]["reason"])


def run_batch(model: Path, source: object, target: object, *options: object) -> Batch:
    arguments = ["batch", source, target, "--model", model, "--device", "cpu", "--quiet", "--json", *options]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main([str(one) for one in arguments])
    told = json.loads(out.getvalue()) if out.getvalue() else {"series": []}
    return Batch(code, {one["output"]: one for one in told["series"]}, out.getvalue() + err.getvalue())


Run = Callable[..., Batch]
"""Source, target and options to what a batch said."""


def private_runs(model: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, *unsaid: str) -> Run:
    """Runs of a batch with a temporary folder of their own, in which nothing may stay; some words must not be said."""
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def run(*arguments: object) -> Batch:
        done = run_batch(model, *arguments)
        for word in unsaid:
            assert word not in done.said
        assert not list(temporary.glob(".ldctdenoise*"))
        return done

    return run


def upload(folder: Path, store: ObjectFolder, name: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            store.write(f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def local_outputs(folder: Path) -> dict[str, bytes]:
    """Without the records, and without the times of their making."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: untimed(content) for name, content in found.items() if not name.startswith(RECORDS)}


def stored_outputs(store: ObjectFolder, name: str) -> dict[str, bytes]:
    """As :func:`local_outputs`."""
    return {one: untimed(store.read(f"{name}/{one}") or b"") for one in store.states(name) if not one.startswith(RECORDS)}


def untimed(content: bytes) -> bytes:
    """A file without the times of its making; one that is not DICOM as it is."""
    if content[128:132] != b"DICM":
        return content
    image = pydicom.dcmread(io.BytesIO(content))
    for tag in ("ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime"):
        del image[tag]
    del image.ContributingEquipmentSequence[-1].ContributionDateTime
    with io.BytesIO() as written:
        image.save_as(written)
        return written.getvalue()
