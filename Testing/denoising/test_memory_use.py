"""The copies of a volume that are held at once: what is refused for want of memory is refused by them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib.system import memory
from Testing.conftest import REPOSITORY
from Testing.dicom.dicom_files import make_slice, save

PEAK = """
import sys
from pathlib import Path
import numpy as np
from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.denoising.one_file import FileOptions, denoise_file

class Copying(Denoiser):  # the engine's own memory does not grow with the volume
    def __call__(self, volume, **options):
        return np.array(volume)

def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) * 1024

model, warm_up, source, target = sys.argv[1:]
denoiser = Copying(model, device="cpu", levels=1)
denoise_file(warm_up, target, denoiser, FileOptions(overwrite=True))
Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
before = status("VmRSS")
denoise_file(source, target, denoiser, FileOptions(overwrite=True))
print(status("VmHWM") - before)
"""


def save_noise(path: Path, slices: int) -> Path:
    """Noise, which no compression makes small."""
    voxels = np.random.default_rng(0).integers(-1000, 1000, (slices, 512, 512)).astype(np.int16)
    if path.suffix:
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    else:
        for number, one in enumerate(voxels):
            save(make_slice(number, stored=(one + 1024).astype(np.uint16)), path / f"{number}.dcm")
    return path


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak between two moments")
@pytest.mark.parametrize(("kind", "output"), [(".nrrd", "out.nrrd"), (".nrrd", "out.nii.gz"), (".nrrd", "out.mha"), ("", "out")])
def test_no_more_copies_are_held_than_counted(tiny_model: Path, tmp_path: Path, kind: str, output: str) -> None:
    small, large = save_noise(tmp_path / f"small{kind}", 4), save_noise(tmp_path / f"large{kind}", 80)
    arguments = [sys.executable, "-c", PEAK, tiny_model, small, large, tmp_path / output]
    done = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    copies = int(done.stdout) / (80 * 512 * 512 * 2)
    assert 1 < copies <= memory.COPIES
