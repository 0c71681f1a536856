"""SIGKILL while an output is written, every step of which is made to take long: old or new, never neither, never half."""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LDCTDenoiseLib.denoising.one_file import FileOptions, denoise_file
from LDCTDenoiseLib.dicom import write_series
from LDCTDenoiseLib.models.model_info import read_info
from LDCTDenoiseLib.system import work_folder
from LDCTDenoiseLib.system.files import check_writable
from LDCTDenoiseLib.volumes.volume_file import read_volume
from Testing.denoising.test_faults import CopyingDenoiser, save_series, save_volume

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]
SLICES = 30
KILLS = 50
READING, WRITING, CHANGING_NAMES, AFTER = range(4)
SCENES = {
    "new volume": ("out.nrrd", False, True),
    "replaced volume": ("out.nrrd", True, True),
    "replaced folder": ("out", True, True),
    "replaced folder, in two steps": ("out", True, False),
}


class AddingDenoiser(CopyingDenoiser):
    """Tells old results from new ones: adds a number of HU."""

    number = 0

    def __call__(self, volume: np.ndarray, **options: object) -> np.ndarray:
        result = super().__call__(volume, **options)
        result[:, 24, 24] = self.number
        return result


def start(run: Callable[[], object], in_one_step: bool) -> tuple[int, mmap.mmap]:
    """Run in a child with every step of the writing slowed down, which says where it is."""
    state = mmap.mmap(-1, 1)
    child = os.fork()
    if child == 0:
        try:
            slow_down(state, in_one_step)
            run()
            state[0] = AFTER
        finally:
            os._exit(0)
    return child, state


def slow_down(state: mmap.mmap, in_one_step: bool) -> None:
    def slow(function: Callable[..., Any], entering: int | None = None, pause: float = 0.003) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if entering is not None:
                state[0] = entering
            time.sleep(pause)
            return function(*arguments, **options)

        return call

    for name in ("mkdir", "rename", "replace", "rmdir", "unlink", "chmod", "fsync"):
        setattr(os, name, slow(getattr(os, name)))
    write_series._save = slow(write_series._save)
    work_folder.WorkFolder.__init__ = slow(work_folder.WorkFolder.__init__, WRITING)  # type: ignore[method-assign]
    work_folder.WorkFolder._note = slow(work_folder.WorkFolder._note, CHANGING_NAMES)  # type: ignore[method-assign]
    work_folder.exchange = slow(work_folder.exchange)
    if not in_one_step:
        work_folder.exchange = lambda one, other: False
        os.rename = slow(os.rename, pause=0.2)  # the moment between the two


def number_in(target: Path) -> int:
    """Which run wrote an output; reading it says whether it is whole."""
    hu = read_volume(target).hu
    assert len(hu) == SLICES
    (number,) = set(hu[:, 24, 24].tolist())
    return int(number)


@pytest.mark.parametrize("scene", SCENES)
def test_a_kill_at_any_moment_leaves_old_or_new(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], scene: str
) -> None:
    name, replaces, in_one_step = SCENES[scene]
    source = save_volume(tmp_path / "in.nrrd", SLICES) if name.endswith(".nrrd") else save_series(tmp_path / "in", SLICES)
    target = tmp_path / "to" / name
    target.parent.mkdir()
    denoiser = AddingDenoiser(read_info(tiny_model), lambda: None)

    def run() -> None:
        denoise_file(source, target, denoiser, FileOptions(overwrite=True))  # type: ignore[arg-type]

    run()
    began = time.monotonic()
    os.waitpid(start(run, in_one_step)[0], 0)
    seconds = time.monotonic() - began
    chance, moments, old = random.Random(scene), Counter[int](), 0
    hidden = 0
    for number in range(1, KILLS + 1):
        if not replaces:
            target.unlink(missing_ok=True)
            old = 0
        denoiser.number = number
        child, state = start(run, in_one_step)
        time.sleep(chance.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        moments[state[0]] += 1
        hidden += replaces and not target.exists()
        check_writable(target, overwrite=True)  # as the next run begins
        assert [path.name for path in target.parent.iterdir()] in ([name], [] if not replaces else [name])
        if target.exists():
            found = number_in(target)
            assert found in (old, number) if replaces else found == number
            old = found
    with capsys.disabled():
        print(
            f"\n{scene}: {KILLS} kills, {moments[WRITING] + moments[CHANGING_NAMES]} in the write window, "
            f"{moments[CHANGING_NAMES]} of them while names changed, {hidden} between two renames; 0 lost, 0 half-written"
        )
    assert moments[WRITING] + moments[CHANGING_NAMES] >= KILLS // 5
    assert (hidden == 0) is (replaces is False or in_one_step)
