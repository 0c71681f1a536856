"""``ldctdenoise denoise``: a CT in, a denoised one out, as a volume file or as a derived DICOM series."""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from .options import add_device, add_dicom_output, add_model, add_volume_options, dicom_output, load_denoiser, slice_range


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

    from tqdm import tqdm

    # delay: no bar before the first batch, so that none stands above an error about the volume.
    bar = tqdm(unit="slice", desc="Denoising", disable=options.quiet, file=sys.stderr, delay=1e-6)
    with bar, ThreadPoolExecutor(1) as pool:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

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
