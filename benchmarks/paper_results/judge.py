"""Judge a system on the test patients and on pairs of another simulator; the figures go into one file for each system.

What is drawn and written on the page comes from these files alone, so that neither is trained nor judged again for it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from LDCTDenoiseLib.ct.evenly_spread import evenly_spread
from LDCTDenoiseLib.data.pairs_csv import read_pairs
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.evaluation.local_response import NOISE_LEFT_MEDIAN, NOISE_LEFT_P90, signal_kept_name
from LDCTDenoiseLib.evaluation.methods import INPUT, Method
from LDCTDenoiseLib.evaluation.patient_table import NPS_MEAN, bias_name
from LDCTDenoiseLib.evaluation.phantom_study import REALISATIONS, study_phantom
from LDCTDenoiseLib.evaluation.slice_table import RMSE, measure_name
from LDCTDenoiseLib.measures.image_quality import ABDOMEN, CHEST, psnr_of_arrays, rmse, ssim
from LDCTDenoiseLib.measures.noise_left import measure_noise_left
from LDCTDenoiseLib.measures.noise_level import noise_sd, uniform_windows
from LDCTDenoiseLib.measures.nps import NoisePower, tissue_noise_power, tissue_windows
from LDCTDenoiseLib.measures.signal_kept import LESIONS, SMALL_FAINT, places_for, signal_kept
from LDCTDenoiseLib.measures.tissue_bias import tissue_bias, tissue_masks
from LDCTDenoiseLib.models.model_file import read_model
from LDCTDenoiseLib.simulation.phantom import Phantom, make_phantom
from LDCTDenoiseLib.system.files import replace_when_complete
from LDCTDenoiseLib.volumes.volume_file import read_volume

from .patients import DOSES

FOLDER = Path(__file__).parent / "judged"
VERSION = 2
"""Of the figures: to raise when one is added or means something else."""
SLICES = 3
"""Of each scan, spread evenly."""
GAIN, GAIN_CHEST = (f"gain, dB, {window.label}" for window in (ABDOMEN, CHEST))
SSIM = measure_name("SSIM", ABDOMEN)
BIASES = tuple(bias_name(tissue) for tissue in ("fat", "soft", "enhanced"))
KEPT = {lesion: signal_kept_name(lesion) for lesion in LESIONS}
BLEND = 0.7
"""Of results in the paper: 0.3 of the low dose are mixed into what the networks give."""
GAIN_BLENDED = f"gain at blend {BLEND:g}, dB, {ABDOMEN.label}"
SSIM_BLENDED = f"SSIM at blend {BLEND:g}, {ABDOMEN.label}"
EQUAL_NOISE = 0.6
NPS_EQUAL = f"NPS mean frequency at {EQUAL_NOISE:g} of the noise, per cm"
"""Of the blend with the low dose that has this share of its noise: a network that only does less has no finer noise by it."""
COST = "signal lost for noise removed"
"""(1 - signal kept of the small faint disc) / (1 - noise left in soft tissue): blending with the input does not change it."""
LEAST_REMOVED = 0.05
TTF_NOISE_HU = (10, 20)
TTF_CONTRASTS_HU = (200, 400)
_SIDE = 512
_STRONGEST = 1.5
"""Blend: further beyond what a network gives nothing is known of it."""


@dataclass(frozen=True)
class JudgedOn:
    """A few slices of a scan in both doses.

    Attributes:
        group: "test" or "pairs".
        dose: fraction.
    """

    group: str
    dose: float
    pair: DosePair


@dataclass(frozen=True)
class _Listed:
    """A scan to judge on, before it is read."""

    group: str
    patient: str
    dose: float
    low: Path
    full: Path

    def read(self) -> JudgedOn:
        normal, noisy = read_volume(self.full), read_volume(self.low)
        chosen = evenly_spread(len(normal.hu), SLICES)
        slices = tuple(int(z) for z in chosen)
        pair = DosePair(self.patient, self.full.stem, noisy.hu[chosen], normal.hu[chosen], normal.spacing, slices)
        return JudgedOn(self.group, self.dose, pair)


def scans_to_judge(csv: Path, pairs: Path | None) -> list[JudgedOn]:
    """The test patients of the CSV, and the pairs ``NAME_full.nrrd``, ``NAME_dDD.nrrd`` of a folder.

    Raises:
        InputError: the folder holds no such pair.
    """
    return [listed.read() for listed in _listed(csv, pairs)]


def how_judged(csv: Path, pairs: Path | None) -> dict[str, Any]:
    """What figures of two systems must have in common to be compared: the scans, and the measures' version."""
    return {"version": VERSION, "scans": [f"{one.group} {one.patient} {one.dose:g}" for one in _listed(csv, pairs)]}


def _listed(csv: Path, pairs: Path | None) -> Iterator[_Listed]:
    for listed in read_pairs(csv):
        if listed.split == "test" and listed.low is not None:
            percent = int(listed.low.path.stem.rpartition("_d")[2])
            yield _Listed("test", listed.patient, percent / 100, listed.low.path, listed.full.path)
    if pairs is None:
        return
    paths = sorted(pairs.glob("*_full.nrrd"))
    if not paths:
        raise InputError(f"{pairs} holds no pairs NAME_full.nrrd, NAME_d25.nrrd, ...; name their folder with --pairs.")
    for full in paths:
        name = full.stem.removesuffix("_full")
        for dose in DOSES:
            yield _Listed("pairs", name, dose, pairs / f"{name}_d{round(100 * dose):02d}.nrrd", full)


def judge(method: Method, scans: Sequence[JudgedOn], *, phantom_scans: int = REALISATIONS) -> dict[str, Any]:
    """Every figure of a method, ready for JSON; what does not exist is None.

    Args:
        method: to judge.
        scans: on these.
        phantom_scans: of the phantom at each noise, for the edges; 0 leaves them out.
    """
    rows = []
    for scan in scans:
        image = method.apply(scan.pair.low, scan.pair.noise_hu)
        masks = tissue_masks(scan.pair.full)
        for number, index in enumerate(scan.pair.slices):
            values = _slice_values(method, scan.pair, image, masks, number)
            known = {name: None if math.isnan(value) else float(f"{value:.5g}") for name, value in values.items()}
            rows.append({"group": scan.group, "patient": scan.pair.patient, "dose": scan.dose, "slice": index, "values": known})
    return {"slices": rows, "ttf50": _edges(method, phantom_scans) if phantom_scans else {}}


def _slice_values(
    method: Method, pair: DosePair, image: np.ndarray, masks: Mapping[str, np.ndarray], number: int
) -> dict[str, float]:
    one = slice(number, number + 1)
    low, full, result = pair.low[one], pair.full[one], image[one]
    own = {name: mask[one] for name, mask in masks.items()}
    left = measure_noise_left(result, full, low, own)
    windows = tissue_windows(full, pair.spacing)
    bias = tissue_bias(result, full, own)
    blended = _blend(low, result, BLEND)
    psnr_before = psnr_of_arrays(low, full, ABDOMEN)
    values = {
        GAIN: psnr_of_arrays(result, full, ABDOMEN) - psnr_before,
        GAIN_BLENDED: psnr_of_arrays(blended, full, ABDOMEN) - psnr_before,
        GAIN_CHEST: psnr_of_arrays(result, full, CHEST) - psnr_of_arrays(low, full, CHEST),
        SSIM: ssim(result, full, ABDOMEN),
        SSIM_BLENDED: ssim(blended, full, ABDOMEN),
        RMSE: rmse(result, full),
        **{bias_name(tissue): bias[tissue] for tissue in ("fat", "soft", "enhanced")},
        NOISE_LEFT_MEDIAN: left.median,
        NOISE_LEFT_P90: left.p90,
        NPS_MEAN: math.nan if windows is None else tissue_noise_power(result, windows, pair.spacing).mean_frequency,
        NPS_EQUAL: math.nan if windows is None else _nps_at_equal_noise(low, result, windows, pair.spacing),
    }
    middle = number == len(pair.slices) // 2
    for lesion, name in KEPT.items():
        places = places_for(lesion, own["soft"][0], pair.spacing) if middle or lesion == SMALL_FAINT else []
        values[name] = math.nan
        if places:
            kept = signal_kept(
                lambda hu: method.apply(hu, pair.noise_hu), low.astype(np.float32), places, lesion, pair.spacing, output=result
            )
            values[name] = float(kept.mean())
    removed = 1 - left.by_tissue["soft"]
    values[COST] = (1 - values[KEPT[SMALL_FAINT]]) / removed if removed > LEAST_REMOVED else math.nan
    return values


def _blend(low: np.ndarray, result: np.ndarray, share: float) -> np.ndarray:
    return low + share * (result - low)


def _nps_at_equal_noise(low: np.ndarray, result: np.ndarray, windows: np.ndarray, spacing: tuple[float, float]) -> float:
    """Mean NPS frequency of the first blend whose noise SD is ``EQUAL_NOISE`` of the low dose's; nan where none is."""

    def power(share: float) -> NoisePower:
        return tissue_noise_power(_blend(low, result, share), windows, spacing)

    # Noise is linear in the blend, so that its variance is a parabola.
    none, half, whole = (power(share).variance for share in (0.0, 0.5, 1.0))
    bend = 2 * (none + whole - 2 * half)
    shares = np.roots([bend, whole - none - bend, none * (1 - EQUAL_NOISE**2)])
    reached = [share.real for share in shares if abs(share.imag) < 1e-9 and 0 < share.real <= _STRONGEST]
    return power(min(reached)).mean_frequency if reached else math.nan


def _edges(method: Method, scans: int) -> dict[str, dict[str, float | None]]:
    """TTF50 by noise and contrast, as shares of the input's."""
    found: dict[str, dict[str, float | None]] = {}
    doses = phantom_doses()
    edges: dict[tuple[str, float], dict[float, float]] = {}
    for result in study_phantom([INPUT, method], list(doses.values()), realisations=scans):
        edges[result.method, result.dose] = {contrast: one.falls_to(0.5) for contrast, one in result.transfer.items()}
    for noise, dose in doses.items():
        before, after = edges[INPUT.name, dose], edges[method.name, dose]
        shares = {contrast: after[contrast] / before[contrast] for contrast in TTF_CONTRASTS_HU}
        found[f"{noise:g}"] = {f"{one:g}": None if math.isnan(share) else round(share, 4) for one, share in shares.items()}
    return found


def phantom_doses() -> dict[float, float]:
    """The dose at which the phantom's uniform soft tissue has each noise of ``TTF_NOISE_HU``."""
    slice_ = make_phantom(1)
    phantom = Phantom(np.repeat(slice_.truth, 2, axis=0), slice_.spacing)
    at_full_dose = noise_sd(phantom.scan(1.0), uniform_windows(phantom.truth, phantom.spacing), phantom.spacing)
    return {noise: (at_full_dose / noise) ** 2 for noise in TTF_NOISE_HU}


def size_and_speed(model: Path, apply: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    """Parameters, and GFLOP and processor seconds of a slice of 512 x 512."""
    read = read_model(model)
    kernels = sum(tensor.size for tensor in read.tensors.values() if tensor.ndim == 4)
    image = np.zeros((1, _SIDE, _SIDE), np.float32)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        apply(image)
        seconds.append(time.process_time() - start)
    return {
        "parameters": sum(level.architecture.parameters for level in read.info.levels),
        "gflop": round(2 * kernels * _SIDE**2 / 1e9, 1),
        "seconds_a_slice": round(min(seconds), 3),
    }


def write_judged(record: Mapping[str, Any], path: Path) -> None:
    """Keep what was found of a system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(path, ".json") as temporary:
        temporary.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_judged(path: Path, source: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was found of a system, or None where it was not judged yet, or with other weights or on other scans.

    Args:
        path: its file.
        source: what it must have been judged with; None stands for weights that are not there, and agrees with any.
    """
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        told = found["source"]
        agrees = told.keys() == source.keys() and all(value in (None, told[name]) for name, value in source.items())
        return found if agrees else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); remove it to judge the system anew.") from error
