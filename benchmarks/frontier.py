"""The frontier: signal kept against noise left, for models as lines by blend and filters as lines by strength.

    python -m benchmarks.frontier --pairs ../shared/data/kernel_pairs --models default,other.safetensors --out docs/results

A candidate is better when its line lies above. Both measures are linear in the blend of input and output, so that a model's line
is straight. A pair is a file ``NAME_full.nrrd`` and files ``NAME_*.nrrd`` in low dose; their middle slices are judged.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from LDCTDenoiseLib import Denoiser, read_volume
from LDCTDenoiseLib.errors import counted
from LDCTDenoiseLib.evaluation.baselines import find_baseline
from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.evaluation.local_response import NOISE_LEFT_P90, local_response, signal_kept_name
from LDCTDenoiseLib.evaluation.methods import Method, model_method
from LDCTDenoiseLib.evaluation.patient_table import NPS_MEAN
from LDCTDenoiseLib.evaluation.pictures import as_png, new_figure
from LDCTDenoiseLib.evaluation.slice_table import write_rows
from LDCTDenoiseLib.evaluation.truth_gain import most_gain, truth_gain
from LDCTDenoiseLib.measures.image_quality import ABDOMEN, psnr_of_arrays
from LDCTDenoiseLib.measures.nps import tissue_noise_power, tissue_windows
from LDCTDenoiseLib.measures.signal_kept import SMALL_FAINT
from LDCTDenoiseLib.measures.tissue_bias import tissue_masks
from LDCTDenoiseLib.models.model_info import find_model, read_info
from LDCTDenoiseLib.system.files import replace_when_complete

GAIN = f"gain, dB, {ABDOMEN.label}"
TRUTH_GAIN = f"gain against the truth, dB, {ABDOMEN.name}"
SECONDS = "processor seconds a slice"
_SIGNAL = signal_kept_name(SMALL_FAINT)
_FULL = "_full"


def find_pairs(folder: Path) -> Iterator[DosePair]:
    """The middle slice of every low dose beside its normal dose."""
    for path in sorted(folder.glob(f"*{_FULL}.nrrd")):
        name = path.stem.removesuffix(_FULL)
        full = read_volume(path)
        middle = len(full.hu) // 2
        one = slice(middle, middle + 1)
        for other in sorted(folder.glob(f"{name}_*.nrrd")):
            if other != path:
                yield DosePair(other.stem, other.stem, read_volume(other).hu[one], full.hu[one], full.spacing, (middle,))


def candidates(models: list[str], baselines: list[str], region: str = "all") -> dict[str, list[Method]]:
    """Methods by the line that they lie on."""
    lines: dict[str, list[Method]] = {}
    for model in models:
        for count in range(1, len(read_info(find_model(model)).levels) + 1):
            method = model_method(Denoiser(model, "cpu", levels=count, region=region))
            name = f"{Path(model).stem}, {counted(count, 'level')}"
            lines[name] = [Method(name, method.apply, method.note)]
    for baseline in map(find_baseline, baselines):
        lines[baseline.title] = [baseline.method(parameters) for parameters in baseline.settings()]
    return lines


def measure(method: Method, pair: DosePair, masks: dict[str, np.ndarray]) -> dict[str, float]:
    """Gain, texture, time and local responses of one method on one pair."""
    noise_hu = pair.noise_hu
    start = time.process_time()
    image = method.apply(pair.low, noise_hu)
    seconds = (time.process_time() - start) / len(image)
    gain = psnr_of_arrays(image, pair.full, ABDOMEN) - psnr_of_arrays(pair.low, pair.full, ABDOMEN)
    windows = tissue_windows(pair.full, pair.spacing)
    nps_mean = np.nan if windows is None else tissue_noise_power(image, windows, pair.spacing).mean_frequency
    gains = {GAIN: gain, TRUTH_GAIN: truth_gain(image, pair, pair.own_noise_share)}
    return gains | {NPS_MEAN: nps_mean, SECONDS: seconds} | local_response(method, pair, image, masks)


def draw(points: dict[str, list[tuple[float, float]]]) -> bytes:
    """The lines: models through (1, 1), which is the input, filters through their settings (PNG)."""
    figure = new_figure(7.5, 5.5)
    axis = figure.subplots()
    for name, line in points.items():
        path = [(1.0, 1.0), *sorted(line, reverse=True)] if len(line) == 1 else sorted(line)
        axis.plot(*zip(*path, strict=True), marker="o", markersize=4, linewidth=1.2, label=name)
    axis.set(xlabel=NOISE_LEFT_P90, ylabel=_SIGNAL, xlim=(0.2, 1.02), ylim=(0.4, 1.02))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return as_png(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="folder of NAME_full.nrrd and NAME_*.nrrd")
    parser.add_argument("--models", default="default", help="names or files, with commas (default: %(default)s)")
    parser.add_argument("--baselines", default="nlm,median,curvature", help="with commas (default: %(default)s)")
    parser.add_argument(
        "--region", choices=["all", "body"], default="all", help="body: half the time; air around it keeps its noise"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for frontier_FOLDER.csv and .png")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pairs = list(find_pairs(options.pairs))
    masks = {pair.patient: tissue_masks(pair.full) for pair in pairs}
    for pair in pairs:
        share = pair.own_noise_share
        print(f"{pair.patient}: own noise is {share:.2f} of the inserted; the truth itself gains {most_gain(share):.2f} dB")
    rows, points = [], {}
    baselines = [one for one in options.baselines.split(",") if one]
    for name, methods in candidates(options.models.split(","), baselines, options.region).items():
        points[name] = []
        for method in methods:
            own = [measure(method, pair, masks[pair.patient]) for pair in pairs]
            rows += [((name, method.note, pair.patient), values) for pair, values in zip(pairs, own, strict=True)]
            points[name].append(tuple(float(np.mean([values[key] for values in own])) for key in (NOISE_LEFT_P90, _SIGNAL)))
            for key in own[0]:
                known = [values[key] for values in own if not np.isnan(values[key])]
                if known:
                    print(f"{name} ({method.note}): {key} {np.mean(known):.3f}", flush=True)
    target = options.out / f"frontier_{options.pairs.name}"
    write_rows(target.with_suffix(".csv"), ("candidate", "how", "pair"), rows)
    with replace_when_complete(target.with_suffix(".png")) as temporary:
        temporary.write_bytes(draw(points))


if __name__ == "__main__":
    main()
