"""``ldctdenoise denoise``: a CT in, a denoised one out, as a volume file or as a derived DICOM series."""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor

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


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("denoise", help="denoise a CT", description=__doc__)
    add_volume_options(parser, output="volume file; for DICOM also a folder, in which a derived series is written")
    add_device(parser)
    add_dicom_output(parser)
    add_model(parser)
    parser.add_argument("--slices", type=slice_range, metavar="A:B", help="denoise these only, counted from 0, B not included")
    parser.add_argument("--json", action="store_true", help="print a JSON summary")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..denoising.one_file import FileOptions, check_output, denoise_file

    how = FileOptions(options.axis, options.series, options.slices, options.force, options.overwrite, dicom_output(options))
    check_output(options.input, options.output, how)

    with slice_progress("Denoising", quiet=options.quiet) as progress, ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load_denoiser, options)  # importing torch takes as long as reading a volume
        done = denoise_file(options.input, options.output, loading, how, progress=progress)
        denoiser = loading.result()
    if options.json:
        first, last = done.slices
        summary: dict[str, object] = {
            "input": str(options.input),
            "output": str(options.output),
            "model": denoiser.info.name,
            "model_hash": denoiser.info.tensor_hash,
            "device": str(denoiser.device),
            "backend": denoiser.backend.value,
            "slices": [first, last],
            "levels": denoiser.levels,
            "blend": denoiser.blend,
            "seconds": round(done.seconds, 3),
            "slices_per_second": round((last - first) / done.seconds, 3),
        }
        if done.series:
            summary["series"] = done.series
        print(json.dumps(summary, indent=2))
