"""The report: one HTML page that needs nothing beside it, the tables as CSV, and a JSON summary."""

from __future__ import annotations

import base64
import datetime
import json
import math
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..errors import OutputError, counted
from ..measures import noise_left
from ..measures.image_quality import WINDOWS
from ..measures.nps import SIDE_MM
from ..measures.signal_kept import LESIONS
from ..measures.tissue_bias import TISSUES
from ..system.extras import require_extra
from ..system.files import check_writable, replace_when_complete
from ..version import __version__
from .evaluate import REFERENCE, Evaluation, SliceView
from .local_response import NOISE_LEFT_MEDIAN, NOISE_LEFT_P90, noise_left_name, signal_kept_name
from .methods import INPUT
from .patient_table import NOISE, NPS_MEAN, NPS_PEAK, bias_name, summarise, write_patient_table
from .phantom_study import PhantomResult
from .pictures import blend_strip, compare_slices, edge_transfers, noise_left_maps, noise_spectra, organ_window, window_for
from .report_tables import patient_table, phantom_tables, quality_tables, summary_table
from .slice_table import write_slice_table

REPORT, SLICES, PATIENTS, SUMMARY = "report.html", "slices.csv", "patients.csv", "summary.json"
_MOST_MIDDLE_SLICES = 8
_PHANTOM_NOTE = (
    "Scans of one slice of the phantom that differ in their noise only. CNR: mean of a disc of 18 mm minus its surroundings, "
    "over the SD there. TTF: frequency at which a cylinder's edge of that contrast has fallen to 50 % and 10 %, per cm, "
    "from the mean of all scans; in brackets where contrast over noise of that mean is below 15, so that noise blurs the "
    "figure. NPS: of what differs between scans, in the liver."
)


@dataclass(frozen=True)
class Picture:
    """A picture inside the page."""

    title: str
    png: bytes

    @property
    def source(self) -> str:
        """The picture as a data URL: the page needs no other file."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def check_report_folder(folder: Path, *, overwrite: bool) -> None:
    """Make the folder, and make sure before the computation that the report may be written there.

    Raises:
        OutputError: it cannot be made or written in, or holds a report's file and ``overwrite`` is false.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made ({error.strerror}); choose another folder.") from error
    for name in (REPORT, SLICES, PATIENTS, SUMMARY):
        check_writable(folder / name, overwrite=overwrite)


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write ``report.html``, ``slices.csv``, ``patients.csv`` and ``summary.json``; the page comes last.

    Returns:
        The page.
    """
    judged = [row for row in evaluation.patients if row.method != REFERENCE]
    write_slice_table(folder / SLICES, evaluation.slices)
    write_patient_table(folder / PATIENTS, judged)
    with replace_when_complete(folder / SUMMARY, ".json") as temporary:
        temporary.write_text(json.dumps(summary(evaluation), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    page = folder / REPORT
    with replace_when_complete(page, ".html") as temporary:
        temporary.write_text(page_text(evaluation), encoding="utf-8")
    return page


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """All figures but those of single slices, ready for JSON; what does not exist is None."""
    judged = [row for row in evaluation.patients if row.method != REFERENCE]
    found = {
        "version": __version__,
        "remarks": evaluation.remarks,
        "windows": [{"name": window.name, "low": window.low, "high": window.high} for window in WINDOWS],
        "methods": {method.name: method.note for method in evaluation.methods},
        "against": evaluation.against,
        "patients": {
            patient: {row.method: row.values for row in judged if row.patient == patient}
            for patient in dict.fromkeys(row.patient for row in judged)
        },
        "summary": {
            method: {measure: asdict(one) for measure, one in measures.items()}
            for method, measures in summarise(judged, evaluation.against).items()
        },
        "phantom": [_phantom_record(result) for result in evaluation.phantom],
    }
    return _without_nan(found)


def _phantom_record(result: PhantomResult) -> dict[str, Any]:
    return {
        "method": result.method,
        "dose": result.dose,
        "noise_sd": result.noise_power.variance**0.5,
        "nps_mean_frequency": result.noise_power.mean_frequency,
        "nps_peak_frequency": result.noise_power.peak_frequency,
        "cnr": {f"{contrast:g}": one.ratio for contrast, one in result.contrast_to_noise.items()},
        "contrast": {f"{contrast:g}": one.contrast for contrast, one in result.contrast_to_noise.items()},
        "ttf50": {f"{contrast:g}": one.falls_to(0.5) for contrast, one in result.transfer.items()},
        "ttf10": {f"{contrast:g}": one.falls_to(0.1) for contrast, one in result.transfer.items()},
        "bias": dict(result.bias),
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page_text(evaluation: Evaluation) -> str:
    """The page as HTML, pictures embedded."""
    with require_extra("report"):
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    judged = [row for row in evaluation.patients if row.method != REFERENCE]
    found = summarise(judged, evaluation.against)
    of_reference = summarise([row for row in evaluation.patients if row.method == REFERENCE], evaluation.against)
    phantom = evaluation.phantom
    environment.globals["counted"] = counted
    return environment.get_template("report.html").render(
        version=__version__,
        date=datetime.date.today().isoformat(),
        remarks=evaluation.remarks,
        methods=evaluation.methods,
        against=evaluation.against,
        patients=list(dict.fromkeys(row.patient for row in judged)),
        quality=quality_tables(found),
        tissues=TISSUES,
        bias=summary_table("HU bias", found, {tissue: bias_name(tissue) for tissue in TISSUES}, "{:+.2f}"),
        noise=summary_table("Noise", found | of_reference, {name: name for name in (NOISE, NPS_MEAN, NPS_PEAK)}, "{:.2f}"),
        noise_left=summary_table("Noise left", found, _noise_left_columns(), "{:.2f}"),
        signal_kept=summary_table("Signal kept", found, {one.label: signal_kept_name(one) for one in LESIONS}, "{:.2f}"),
        tile_px=noise_left.TILE_PX,
        nps_mm=f"{SIDE_MM:g}",
        spectra=_spectra(evaluation),
        phantom_tables=phantom_tables(phantom),
        phantom_note=_PHANTOM_NOTE,
        phantom_pictures=_phantom_pictures(phantom) if phantom else [],
        pictures=_slice_pictures(evaluation),
        by_patient=[patient_table(evaluation, patient) for patient in dict.fromkeys(row.patient for row in judged)],
    )


def _noise_left_columns() -> dict[str, str]:
    by_tissue = {tissue: noise_left_name(tissue) for tissue in noise_left.TISSUES}
    return {"median": NOISE_LEFT_MEDIAN, "90th percentile": NOISE_LEFT_P90} | by_tissue


def _phantom_pictures(results: list[PhantomResult]) -> list[Picture]:
    pictures = [Picture("Task transfer functions", edge_transfers(results))]
    for dose in dict.fromkeys(result.dose for result in results):
        spectra = {result.method: result.noise_power for result in results if result.dose == dose}
        pictures.append(Picture(f"Noise power spectra on the phantom, dose {dose:g}", noise_spectra(spectra)))
    return pictures


def _spectra(evaluation: Evaluation) -> list[Picture]:
    """The spectra of the first patient that has any."""
    for patient in dict.fromkeys(row.patient for row in evaluation.patients):
        rows = [row for row in evaluation.patients if row.patient == patient]
        spectra = {row.method: row.noise_power for row in rows if row.noise_power is not None}
        if spectra:
            return [Picture(f"Noise power spectra, {patient}", noise_spectra(spectra))]
    return []


def _slice_pictures(evaluation: Evaluation) -> list[Picture]:
    def titled(view: SliceView, why: str) -> list[Picture]:
        title = f"{why}: {view.patient}, {view.volume}, slice {view.slice}, RMSE of {evaluation.against} {view.error:.1f} HU"
        reference = view.images[REFERENCE]
        windows = dict.fromkeys((window_for(reference), organ_window(reference, view.spacing)))
        return [
            Picture(f"{title}, {window.name}", compare_slices(view.images, view.spacing, window=window)) for window in windows
        ]

    error = attrgetter("error")
    shown = titled(max((v for v in evaluation.views if v.why == "worst slice"), key=error), "Worst slice of all")
    shown += titled(min((v for v in evaluation.views if v.why == "best slice"), key=error), "Best slice of all")
    middle = [view for view in evaluation.views if view.why == "middle slice"][:_MOST_MIDDLE_SLICES]
    for view in middle:
        shown += titled(view, "Middle slice")
        title = f"Noise left by place: {view.patient}, slice {view.slice}"
        shown.append(Picture(title, noise_left_maps(view.images, view.images[INPUT.name], view.spacing)))
    if evaluation.against != INPUT.name and evaluation.blend > 0:
        view = middle[0]
        low = view.images[INPUT.name].astype(float)
        denoised = low + (view.images[evaluation.against] - low) / evaluation.blend
        strip = blend_strip(low, denoised, view.images[REFERENCE], view.spacing)
        shown.append(Picture(f"{evaluation.against} blended with the input: {view.patient}, slice {view.slice}", strip))
    return shown
