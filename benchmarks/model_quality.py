"""A model's figures on the test patients, beside tuned classical filters, for its card.

    python -m benchmarks.model_quality --data ../shared/data/train [--write]

Noise is inserted into the test patients' normal-dose volumes at fixed doses; every method is judged against the volume as
scanned, which carries its own noise: in flat tissue a perfect image gains 10 log10(1/dose - 1) dB. The filters get the noise
level of each volume, and their parameters are tuned on the validation patients. On the phantom, whose truth is known,
resolution, low contrast and texture are compared with those of the scans that the model got. With --write the figures go
into the model file and its card. Tables, filters and phantom are those of ``ldctdenoise evaluate``.
"""

from __future__ import annotations

import argparse
import logging
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from LDCTDenoiseLib import Denoiser, load_model, simulate_low_dose
from LDCTDenoiseLib.evaluation.baselines import find_baseline, tuned_method
from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.evaluation.local_response import NOISE_LEFT_MEDIAN, NOISE_LEFT_P90, local_response, signal_kept_name
from LDCTDenoiseLib.evaluation.methods import INPUT, Method, model_method
from LDCTDenoiseLib.evaluation.patient_table import bias_name
from LDCTDenoiseLib.evaluation.phantom_study import REALISATIONS, PhantomResult, study_phantom
from LDCTDenoiseLib.evaluation.slice_table import RMSE, measure_name, slice_rows
from LDCTDenoiseLib.measures.image_quality import ABDOMEN, CHEST
from LDCTDenoiseLib.measures.signal_kept import LESIONS
from LDCTDenoiseLib.measures.tissue_bias import TISSUES, tissue_bias, tissue_masks
from LDCTDenoiseLib.models.model_card import write_card
from LDCTDenoiseLib.models.model_file import save_model
from LDCTDenoiseLib.models.model_info import find_model
from LDCTDenoiseLib.volumes.volume_file import read_volume

from .paper_results.judge import BLEND as PAPER_BLEND

DOSES = (0.25, 0.10)
PHANTOM_DOSES = (0.5, *DOSES)
FAINT_HU = 10.0
"""Contrast of the disc whose CNR is told."""
SEED = 2  # not the training's: the test must see other noise
SOFT_TISSUE = "{:g} to {:g} HU".format(*TISSUES["soft"])
FIGURES = {  # as in the library's tables, and how many decimals
    measure_name("PSNR", ABDOMEN): 2,
    measure_name("SSIM", ABDOMEN): 3,
    measure_name("VIF", ABDOMEN): 3,
    measure_name("PSNR", CHEST): 2,
    measure_name("SSIM", CHEST): 3,
    RMSE: 2,
}
RESPONSES = (NOISE_LEFT_MEDIAN, NOISE_LEFT_P90, *(signal_kept_name(lesion) for lesion in LESIONS))
COLUMNS = ["volume", "kernel", "dose", "method", "gain, dB", *FIGURES, bias_name("soft"), *RESPONSES]


class TestVolume:
    """Every n-th slice of a normal-dose volume, which gives low doses."""

    def __init__(self, path: Path, every: int) -> None:
        volume = read_volume(path)
        self.name = path.name.split(".")[0]
        self.scan = volume
        self.every = every
        self.full = volume.hu[::every]

    def pair(self, dose: float, kernel: str) -> DosePair:
        """The slices with inserted noise beside the scan itself."""
        spacing = self.scan.spacing
        low = simulate_low_dose(self.full, spacing, dose, kernel=kernel, seed=SEED)
        slices = tuple(range(0, len(self.scan.hu), self.every))
        return DosePair(self.name, self.name, low, self.full, spacing, slices)


def rows_of(pair: DosePair, kernel: str, dose: float, methods: list[Method]) -> list[list[str]]:
    """A row of text for each method; the input comes first."""
    masks = tissue_masks(pair.full)
    rows: list[list[str]] = []
    before = 0.0
    for method in methods:
        image = method.apply(pair.low, pair.noise_hu)
        slices = slice_rows(pair, method.name, image, [ABDOMEN, CHEST])
        values = {name: float(np.mean([one.values[name] for one in slices])) for name in FIGURES}
        decibels = values[measure_name("PSNR", ABDOMEN)]
        before = decibels if method is INPUT else before
        bias = tissue_bias(image, pair.full, masks)["soft"]
        figures = [f"{values[name]:.{decimals}f}" for name, decimals in FIGURES.items()]
        found = local_response(method, pair, image, masks)
        responses = [f"{found[name]:.2f}" for name in RESPONSES]
        names = [pair.patient, kernel, f"{dose:g}", method.name]
        rows.append([*names, f"{decibels - before:+.2f}", *figures, f"{bias:+.2f}", *responses])
        print("  ".join(rows[-1]), flush=True)
    return rows


def phantom_table(methods: list[Method]) -> dict[str, Any]:
    """What methods do to the phantom, as shares of the input's figures."""
    rows = []
    inputs: dict[float, PhantomResult] = {}
    for result in study_phantom([INPUT, *methods], PHANTOM_DOSES):
        before = inputs.setdefault(result.dose, result)  # the input comes first
        power, cnr = result.noise_power, result.contrast_to_noise[FAINT_HU]
        row = {
            "dose": f"{result.dose:g}",
            "method": result.method,
            "noise SD, HU": f"{power.variance**0.5:.1f}",
            "NPS mean frequency": f"{power.mean_frequency / before.noise_power.mean_frequency:.2f}",
            f"CNR {FAINT_HU:g} HU": f"{cnr.ratio / before.contrast_to_noise[FAINT_HU].ratio:.1f}",
        }
        for contrast, transfer in result.transfer.items():
            row[f"TTF50 {contrast:g} HU"] = f"{transfer.falls_to(0.5) / before.transfer[contrast].falls_to(0.5):.2f}"
        row |= {f"bias {tissue}, HU": f"{value:+.2f}" for tissue, value in result.bias.items() if not math.isnan(value)}
        rows.append(row)
        print("  ".join(row.values()), flush=True)
    note = (
        f"{REALISATIONS} scans of one slice with different noise at fractions of a usual dose, blend 1.0 unless said. NPS mean "
        "frequency, CNR of a low-contrast disc and TTF50 of edges by their contrast are shares of the input's; bias against the "
        "truth"
    )
    return {"note": note, "columns": list(rows[0]), "rows": [list(row.values()) for row in rows]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the training data")
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--kernels", default="soft,sharp")
    parser.add_argument(
        "--baselines", default="nlm,median,curvature", help="of these and bm3d, with commas (default: %(default)s)"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="judge every N-th slice (default: all)")
    parser.add_argument("--on", choices=["test", "validate"], default="test", help="validate: to look while developing")
    parser.add_argument("--write", action="store_true", help="write the figures into the model and its card")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)

    cascade, info = load_model(options.model)
    split = info.training["config"]["data"]

    def volumes(patients: list[str]) -> list[TestVolume]:
        return [TestVolume(options.data / f"{patient}.nrrd", options.every) for patient in patients]

    tuning, judged = volumes(split["validate"]), volumes(split[options.on])
    baselines = [find_baseline(name) for name in options.baselines.split(",")]
    models = [
        model_method(Denoiser(options.model, options.device, levels=levels), f"level {levels}")
        for levels in range(1, len(cascade.levels) + 1)
    ]
    rows = []
    for kernel, dose in product(options.kernels.split(","), DOSES):
        tuned = [tuned_method(baseline, [volume.pair(dose, kernel) for volume in tuning]) for baseline in baselines]
        for method in tuned:
            print(f"{kernel}, dose {dose:g}: {method.name} with {method.note}", flush=True)
        for volume in judged:
            rows += rows_of(volume.pair(dose, kernel), kernel, dose, [INPUT, *models, *tuned])

    for dose, name in product(DOSES, [*(method.name for method in models), *(baseline.title for baseline in baselines)]):
        gains = [float(row[4]) for row in rows if row[2] == f"{dose:g}" and row[3] == name]
        print(f"dose {dose:g}, {name}: mean gain {np.mean(gains):+.2f} dB, lowest {min(gains):+.2f} dB")

    blended = model_method(Denoiser(options.model, options.device, blend=PAPER_BLEND), f"blend {PAPER_BLEND:g}")
    phantom = phantom_table([*models, blended])

    if options.write:
        path = find_model(options.model)
        command = f"make figures EVERY={options.every}"
        metrics = {
            "command": command,
            "note": (
                f"means over slices 0, {options.every}, {2 * options.every}, ... of the test patients, noise inserted, "
                "blend 1.0; the reference is the scan itself with its own noise; bias in tissue of "
                f"{SOFT_TISSUE} by a smoothed, eroded reference; the filters know the noise level and are tuned on the "
                "validation patient"
            ),
            "columns": COLUMNS,
            "rows": rows,
            "phantom": {"command": command, **phantom},
        }
        info = type(info)(**{**info.__dict__, "metrics": metrics})
        write_card(save_model(cascade, info, path), path.with_suffix(".md"))


if __name__ == "__main__":
    main()
