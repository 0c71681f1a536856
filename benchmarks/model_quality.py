"""A model's figures on the test patients, beside tuned non-local means, for its card.

    python benchmarks/model_quality.py --data ../shared/data/train [--write]

Noise is inserted into the test patients' normal-dose volumes at fixed doses; every method is judged against the volume as
scanned, which carries its own noise: in flat tissue a perfect image gains 10 log10(1/dose - 1) dB. Non-local means gets
the noise level of each volume, and its strength and patch size are tuned on the validation patients. With --write the
figures go into the model file and its card.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from skimage.restoration import denoise_nl_means

from LDCTDenoiseLib import Denoiser, load_model
from LDCTDenoiseLib.metrics import ABDOMEN, CHEST, hu_bias, psnr_of_arrays, rmse, ssim, tissue_mask
from LDCTDenoiseLib.model_card import write_card
from LDCTDenoiseLib.model_file import save_model
from LDCTDenoiseLib.model_info import find_model
from LDCTDenoiseLib.simulation.noise_insertion import insert_noise
from LDCTDenoiseLib.simulation.noise_level import noise_sd, uniform_windows
from LDCTDenoiseLib.simulation.parallel_beam import Kernel
from LDCTDenoiseLib.training.noise_cache import KERNELS, prepare
from LDCTDenoiseLib.volumes import read_volume

DOSES = (0.25, 0.10)
SEED = 2  # not the training's: the test must see other noise
SOFT_TISSUE_HU = (0.0, 120.0)
NLM_STRENGTHS = (0.4, 0.6, 0.8, 1.0)  # times the noise SD
NLM_PATCHES = (3, 5, 7)
NLM_DISTANCE = 8
TUNING_SLICES = 3
COLUMNS = [
    "volume",
    "kernel",
    "dose",
    "method",
    f"PSNR {ABDOMEN.name}, dB",
    "gain, dB",
    f"SSIM {ABDOMEN.name}",
    f"PSNR {CHEST.name}, dB",
    f"SSIM {CHEST.name}",
    "RMSE, HU",
    "HU bias, soft tissue",
]

Method = Callable[[np.ndarray], np.ndarray]


def non_local_means(low: np.ndarray, noise_hu: float, strength: float, patch: int) -> np.ndarray:
    """Each slice by non-local means; the strength is in units of the noise SD."""
    return np.stack(
        [
            denoise_nl_means(
                one.astype(np.float32),
                patch_size=patch,
                patch_distance=NLM_DISTANCE,
                h=strength * noise_hu,
                sigma=noise_hu,
                fast_mode=True,
            )
            for one in low
        ]
    )


class TestVolume:
    """Every n-th slice of a normal-dose volume, which gives low doses."""

    def __init__(self, path: Path, cache: Path, every: int) -> None:
        volume = read_volume(path)
        self.name = path.name.split(".")[0]
        self.prepared = prepare(volume, cache, seed=SEED)
        self.every = every
        self.full = np.array(self.prepared.hu[::every])

    def low(self, dose: float, kernel: Kernel) -> np.ndarray:
        noise = self.prepared.noise[KERNELS.index(kernel)][:: self.every].astype(np.float32)
        return insert_noise(self.full, math.sqrt((1 - dose) / dose) * noise)

    def noise_of(self, low: np.ndarray) -> float:
        return noise_sd(low, uniform_windows(self.full, self.prepared.spacing), self.prepared.spacing)


def tune_non_local_means(volumes: list[TestVolume], dose: float, kernel: Kernel) -> tuple[float, int]:
    """Strength and patch size with the best mean PSNR on a few slices of the validation volumes."""
    scores: dict[tuple[float, int], float] = {}
    for volume in volumes:
        low = volume.low(dose, kernel)
        noise_hu = volume.noise_of(low)
        chosen = np.linspace(0, len(low) - 1, TUNING_SLICES).round().astype(int)
        for strength, patch in product(NLM_STRENGTHS, NLM_PATCHES):
            denoised = non_local_means(low[chosen], noise_hu, strength, patch)
            key = (strength, patch)
            scores[key] = scores.get(key, 0.0) + psnr_of_arrays(denoised, volume.full[chosen], ABDOMEN)
    return max(scores, key=lambda key: scores[key])


def rows_of(volume: TestVolume, dose: float, kernel: Kernel, methods: dict[str, Method]) -> list[list[str]]:
    low = volume.low(dose, kernel)
    mask = tissue_mask(volume.full, SOFT_TISSUE_HU)
    before = psnr_of_arrays(low, volume.full, ABDOMEN)
    rows = []
    for name, method in methods.items():
        image = method(low)
        decibels = psnr_of_arrays(image, volume.full, ABDOMEN)
        rows.append(
            [
                volume.name,
                kernel.value,
                f"{dose:g}",
                name,
                f"{decibels:.2f}",
                f"{decibels - before:+.2f}",
                f"{ssim(image, volume.full, ABDOMEN):.3f}",
                f"{psnr_of_arrays(image, volume.full, CHEST):.2f}",
                f"{ssim(image, volume.full, CHEST):.3f}",
                f"{rmse(image, volume.full):.2f}",
                f"{hu_bias(image, volume.full, mask):+.2f}",
            ]
        )
        print("  ".join(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data")
    parser.add_argument("--model", default="default")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--kernels", default="soft,sharp")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="judge every N-th slice (default: all)")
    parser.add_argument("--on", choices=["test", "validate"], default="test", help="validate: to look while developing")
    parser.add_argument("--write", action="store_true", help="write the figures into the model and its card")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)

    cascade, info = load_model(options.model)
    split = info.training["config"]["data"]

    def volumes(patients: list[str]) -> list[TestVolume]:
        return [TestVolume(options.data / f"{patient}.nrrd", options.cache, options.every) for patient in patients]

    tuning, judged = volumes(split["validate"]), volumes(split[options.on])
    engines = {
        f"level {levels}": Denoiser(options.model, options.device, levels=levels) for levels in range(1, len(cascade.levels) + 1)
    }
    rows = []
    for kernel, dose in product([Kernel(name) for name in options.kernels.split(",")], DOSES):
        strength, patch = tune_non_local_means(tuning, dose, kernel)
        print(f"{kernel.value}, dose {dose:g}: non-local means with h {strength:g} SD, patch {patch}", flush=True)
        for volume in judged:

            def nlm(low: np.ndarray, volume: TestVolume = volume, best: tuple[float, int] = (strength, patch)) -> np.ndarray:
                return non_local_means(low, volume.noise_of(low), *best)

            methods: dict[str, Method] = {"input": lambda low: low, **engines, "non-local means": nlm}
            rows += rows_of(volume, dose, kernel, methods)

    for dose, method in product(DOSES, [*engines, "non-local means"]):
        gains = [float(row[5]) for row in rows if row[2] == f"{dose:g}" and row[3] == method]
        print(f"dose {dose:g}, {method}: mean gain {np.mean(gains):+.2f} dB, lowest {min(gains):+.2f} dB")

    if options.write:
        path = find_model(options.model)
        metrics = {
            "command": f"make figures EVERY={options.every}",
            "note": (
                f"slices 0, {options.every}, {2 * options.every}, ... of the test patients, noise inserted, blend 1.0; the "
                "reference is the scan itself with its own noise; bias in tissue of 0 to 120 HU by a smoothed, eroded "
                "reference; non-local means knows the noise "
                "level and is tuned on the validation patient"
            ),
            "columns": COLUMNS,
            "rows": rows,
        }
        info = type(info)(**{**info.__dict__, "metrics": metrics})
        write_card(save_model(cascade, info, path), path.with_suffix(".md"))


if __name__ == "__main__":
    main()
