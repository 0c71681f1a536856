"""``ldctdenoise denoise``: a CT in, a denoised one out, as a volume file or as a derived DICOM series."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from ..errors import Code, InputError, counted
from .options import (
    add_device,
    add_dicom_output,
    add_model,
    add_volume_options,
    dicom_output,
    load_denoiser,
    slice_progress,
    slice_range,
)

log = logging.getLogger(__name__)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("denoise", help="denoise a CT", description=__doc__)
    add_volume_options(parser, output="volume file; for DICOM also a folder, in which a derived series is written")
    add_device(parser)
    add_dicom_output(parser)
    add_model(parser)
    parser.add_argument("--slices", type=slice_range, metavar="A:B", help="denoise these only, counted from 0, B not included")
    parser.add_argument(
        "--provenance",
        action="store_true",
        help="write what made a volume file (model, options, slices) as JSON beside it; NRRD and DICOM hold it themselves, too",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON summary")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..system.files import check_there

    check_there(options.input, options.output)
    from ..denoising.one_file import FileOptions, ToLoad, denoise_file
    from ..system.files import check_writable
    from ..system.warnings_told import warnings_of_this_thread

    how = FileOptions(
        axis=options.axis,
        series=options.series,
        slices=options.slices,
        force=options.force,
        allow_missing=options.allow_missing,
        overwrite=options.overwrite,
        dicom=dicom_output(options),
    )
    beside = _provenance_file(options.output) if options.provenance else None
    if beside:
        check_writable(beside, overwrite=options.overwrite)
    with warnings_of_this_thread() as warnings, slice_progress("Denoising", quiet=options.quiet) as progress:
        done = denoise_file(options.input, options.output, ToLoad(lambda: load_denoiser(options)), how, progress=progress)
    made = done.made
    if beside:
        _write_json(made.as_fields(), beside, overwrite=options.overwrite)
    slices = counted(done.slices, "slice")
    log.info("Wrote %s: %s denoised in %.1f s (%s, %s).", options.output, slices, done.seconds, made.device, made.backend)
    if options.json:
        summary: dict[str, object] = {
            "input": str(options.input),
            "output": str(options.output),
            "model": made.model,
            "model_hash": made.model_hash,
            "device": made.device,
            "backend": made.backend,
            "slices": list(made.slices),
            "levels": made.levels,
            "blend": made.options.blend,
            "seconds": round(done.seconds, 3),
            "slices_per_second": round(done.slices / done.seconds, 3),
            "warnings": warnings,
        }
        if done.series:
            summary["series"] = done.series
        print(json.dumps(summary, indent=2, ensure_ascii=False))


def _provenance_file(output: Path) -> Path:
    """``denoised.json`` for ``denoised.nii.gz``.

    Raises:
        InputError: the output is no volume file.
    """
    from ..volumes.volume_file import volume_suffix

    suffix = volume_suffix(output)
    if suffix is None:
        raise InputError("--provenance is for volume files; a DICOM series holds it in its headers.", Code.ARGUMENT)
    return output.with_name(output.name[: -len(suffix)] + ".json")


def _write_json(record: dict[str, str], path: Path, *, overwrite: bool) -> None:
    from ..system.files import replace_when_complete

    with replace_when_complete(path, ".json", overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
