"""Models and classical filters judged on pairs of low and normal dose, and on the phantom."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..data.pairs_csv import Pair, Source, path_in_csv, read_pairs
from ..data.read_pair import read_pair
from ..errors import InputError, counted
from ..inference.engine import Denoiser
from ..measures.tissue_bias import tissue_masks
from ..simulation.noise_insertion import simulate_low_dose
from .baselines import find_baseline, tuned_method
from .dose_pair import DosePair
from .local_response import local_response, unknown_response
from .methods import INPUT, Method, model_method
from .patient_table import PatientRow, one_row_per_patient, volume_rows
from .phantom_study import DOSES, REALISATIONS, PhantomResult, study_phantom
from .slice_table import RMSE, SliceRow, slice_rows

log = logging.getLogger(__name__)

REFERENCE = "reference"


@dataclass(frozen=True)
class EvaluationOptions:
    """What to judge, on what.

    Attributes:
        models: names or files.
        baselines: short names of classical filters (``baselines.BASELINES``).
        against: the method that the others are tested against; None is the first model, or the input.
        blend: of the models.
        split: of the patients to judge.
        every: judge every n-th slice.
        dose: of the noise that is inserted where a pair has no low dose.
        kernel: of that noise.
        phantom_doses: of the study on the phantom.
        phantom_scans: of that study; fewer than 2 leave it out.
        device: where to compute.
    """

    models: Sequence[str] = ("default",)
    baselines: Sequence[str] = ()
    against: str | None = None
    blend: float = 1.0
    split: str = "test"
    every: int = 1
    dose: float = 0.25
    kernel: str = "soft"
    phantom_doses: Sequence[float] = DOSES
    phantom_scans: int = REALISATIONS
    device: str = "auto"


@dataclass(frozen=True)
class SliceView:
    """A slice to show.

    Attributes:
        patient: whose.
        volume: which of the patient's.
        slice: which, counted from 0.
        why: it is shown.
        error: RMSE in HU of the method that the others are tested against.
        spacing: (rows, columns) in mm.
        images: (rows, columns) HU by method, the input first, the reference last.
    """

    patient: str
    volume: str
    slice: int
    why: str
    error: float
    spacing: tuple[float, float]
    images: dict[str, np.ndarray]


@dataclass
class Evaluation:
    """All that was measured.

    Attributes:
        methods: in the order of the tables.
        against: name of the method that the others are tested against.
        blend: of that method with the input; 1 for a filter.
        slices: rows of the table of slices.
        patients: rows of the table of patients, with the reference's noise figures.
        views: slices to show: the middle one of each volume, and the worst and the best of all.
        phantom: results on the phantom.
        remarks: what a reader must know: how the pairs came about.
    """

    methods: list[Method]
    against: str
    blend: float = 1.0
    slices: list[SliceRow] = field(default_factory=list)
    patients: list[PatientRow] = field(default_factory=list)
    views: list[SliceView] = field(default_factory=list)
    phantom: list[PhantomResult] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def load_models(models: Sequence[str], *, device: str, blend: float) -> list[Method]:
    """The models as methods, with names that differ.

    Raises:
        InputError: two models have the same name.
        ModelError: one is missing or damaged.
    """
    methods = [model_method(Denoiser(model, device, blend=blend)) for model in models]
    names = [method.name for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"Two of the models are called {name}; give their files different names.")
    return methods


def load_pair(pair: Pair, options: EvaluationOptions, *, only: int | None = None) -> DosePair:
    """The slices of a pair that are judged, the low dose simulated where there is none.

    Args:
        pair: whose volumes are read.
        options: every how many slices, and the simulated dose.
        only: one slice in place of every n-th; None is every n-th, -1 the middle one.

    Raises:
        InputError: a volume cannot be read, or is not in HU, or has no noise to calibrate the inserted noise with.
    """
    volumes = read_pair(pair)
    chosen = np.arange(0, len(volumes.full), options.every)
    if only is not None:
        chosen = np.array([len(volumes.full) // 2 if only == -1 else only])
        if not 0 <= chosen[0] < len(volumes.full):
            raise InputError(
                f"{pair.patient} has {counted(len(volumes.full), 'slice')}, counted from 0; there is no slice {only}."
            )
    full = volumes.full[chosen]
    if volumes.low is None:
        low = simulate_low_dose(full, volumes.spacing, options.dose, kernel=options.kernel, seed=2)
    else:
        low = volumes.low[chosen]
    return DosePair(pair.patient, pair.full.path.name, low, full, volumes.spacing, tuple(int(n) for n in chosen))


def evaluate_volumes(low: Path, full: Path, model: str | None, options: EvaluationOptions) -> Evaluation:
    """Judge one low dose, and if a model is named also what it makes of it, without the phantom.

    Without a model the low dose may be denoised already: nobody knows then what noise left and signal kept are.

    Raises:
        InputError: a volume cannot be read, or they have no slices in common.
    """
    methods = [INPUT] if model is None else [INPUT, *load_models([model], device=options.device, blend=options.blend)]
    evaluation = Evaluation(methods, methods[-1].name, 1.0 if model is None else options.blend)
    pair = load_pair(Pair(full.name, Source(low), Source(full), "test"), options)
    _judge(evaluation, pair, low_is_input=model is not None)
    return evaluation


def evaluate_pairs(csv: Path, options: EvaluationOptions) -> Evaluation:
    """Judge models and tuned baselines on the patients of a CSV, and on the phantom.

    Raises:
        InputError: the CSV, a volume or an argument cannot be used.
        MissingExtraError: a filter's package is not installed.
    """
    pairs = read_pairs(csv)
    judged = [pair for pair in pairs if pair.split == options.split]
    if not judged:
        raise InputError(f"{csv.name} has no patient in the split '{options.split}'; choose another split.")
    baselines = [find_baseline(name) for name in options.baselines]
    models = load_models(options.models, device=options.device, blend=options.blend)
    known = [INPUT.name, *(method.name for method in models), *(baseline.title for baseline in baselines)]
    against = options.against or (models[0].name if models else INPUT.name)
    if against not in known:
        raise InputError(f"Nothing called '{against}' is judged here; compare against one of {', '.join(known)}.")
    validation = [load_pair(pair, options) for pair in pairs if pair.split == "validate"] if baselines else []
    tuned = []
    for baseline in baselines:
        tuned.append(tuned_method(baseline, validation))
        log.info("%s: %s", tuned[-1].name, tuned[-1].note)
    of_model = any(model.name == against for model in models)
    evaluation = Evaluation([INPUT, *models, *tuned], against, options.blend if of_model else 1.0)
    inserted = [pair.patient for pair in judged if pair.low is None]
    if inserted:
        evaluation.remarks.append(
            f"Low dose simulated by noise insertion (dose fraction {options.dose:g}, {options.kernel} kernel) for "
            f"{', '.join(dict.fromkeys(inserted))}: the reference is the scan itself with its own noise, so that in flat "
            f"tissue a perfect image would gain 10 log10(1/dose - 1) dB."
        )
    if options.every > 1:
        evaluation.remarks.append(f"One slice in {options.every} was judged.")
    for pair in judged:
        log.info("Judging %s.", pair.patient)
        _judge(evaluation, replace(load_pair(pair, options), volume=path_in_csv(pair.full, csv)))
    evaluation.patients = one_row_per_patient(evaluation.patients)
    if options.phantom_scans > 1:
        log.info("Judging the phantom.")
        evaluation.phantom += study_phantom(evaluation.methods, options.phantom_doses, realisations=options.phantom_scans)
    return evaluation


def _judge(evaluation: Evaluation, pair: DosePair, *, low_is_input: bool = True) -> None:
    images = {method.name: method.apply(pair.low, pair.noise_hu) for method in evaluation.methods}
    rows = [row for name, image in images.items() for row in slice_rows(pair, name, image)]
    masks = tissue_masks(pair.full)
    responses = {
        method.name: local_response(method, pair, images[method.name], masks) if low_is_input else unknown_response()
        for method in evaluation.methods
    }
    images[REFERENCE] = pair.full
    evaluation.slices += rows
    evaluation.patients += volume_rows(pair, images, rows, masks, responses)

    def view(index: int, why: str) -> SliceView:
        shown = {name: np.array(image[index]) for name, image in images.items()}
        return SliceView(pair.patient, pair.volume, pair.slices[index], why, errors[index], pair.spacing, shown)

    errors = [row.values[RMSE] for row in rows if row.method == evaluation.against]
    evaluation.views.append(view(len(pair.low) // 2, "middle slice"))
    evaluation.views.append(view(int(np.argmax(errors)), "worst slice"))
    evaluation.views.append(view(int(np.argmin(errors)), "best slice"))
