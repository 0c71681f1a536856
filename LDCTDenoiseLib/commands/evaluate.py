"""``ldctdenoise evaluate``: how good a denoised CT is, for one pair of volumes or as a report on many patients."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..errors import Code, InputError
from .options import add_device, count, dose, fraction, positive, said_when_written


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("evaluate", help="judge denoised CT against normal dose", description=__doc__)
    parser.add_argument("low", type=Path, nargs="?", help="the volume to judge: low dose, or denoised already")
    parser.add_argument("full", type=Path, nargs="?", help="normal dose of the same scan")
    parser.add_argument("--model", metavar="NAME|FILE", help="also judge what this model makes of LOW")
    parser.add_argument("--json", action="store_true", help="print JSON")
    report = parser.add_argument_group("report on many patients, in place of LOW and FULL")
    report.add_argument("--pairs", type=Path, metavar="CSV", help="patient,low,full,split; an empty low is simulated")
    report.add_argument("--models", type=_names, default=["default"], metavar="A,B", help="to judge (default: default)")
    report.add_argument(
        "--baselines", type=_names, default=[], metavar="nlm,median,curvature,bm3d", help="filters, tuned on 'validate' patients"
    )
    report.add_argument("--against", metavar="NAME", help="method that the others are tested against (default: the first model)")
    report.add_argument("--out", type=Path, metavar="DIR", help="folder of the report")
    report.add_argument(
        "--split", choices=["train", "validate", "test"], default="test", help="patients to judge (default: test)"
    )
    report.add_argument("--dose", type=dose, default=0.25, metavar="A", help="of simulated low doses (default 0.25)")
    report.add_argument("--kernel", choices=["soft", "sharp"], default="soft", help="of simulated low doses (default soft)")
    report.add_argument("--phantom-scans", type=count, default=12, metavar="N", help="of the phantom (default 12; 0: none)")
    report.add_argument("--overwrite", action="store_true", help="replace a report that exists")
    parser.add_argument("--blend", type=fraction, default=1.0, metavar="0..1", help="of the models (default 1)")
    parser.add_argument("--every", type=positive, default=1, metavar="N", help="judge every N-th slice (default: all)")
    add_device(parser)
    parser.add_argument("--quiet", action="store_true", help="no notes")
    parser.set_defaults(run=run)


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if not names:
        raise argparse.ArgumentTypeError("give at least one name")
    return names


def run(options: argparse.Namespace) -> None:
    from ..system.extras import check_extra
    from ..system.files import check_exists

    _check_arguments(options)
    if options.pairs is None:
        check_exists(options.low, "the volume to judge")
        check_exists(options.full, "the volume of the normal dose")
    else:
        check_exists(options.pairs, "a CSV of pairs")
    check_extra("report", "jinja2", "matplotlib", "scipy", "skimage", "torchmetrics")
    (_one_pair if options.pairs is None else _report)(options)


def _check_arguments(options: argparse.Namespace) -> None:
    """Refuse what does not go together.

    Raises:
        InputError: it does not; it says why.
    """
    problem = ""
    if options.pairs is None:
        if options.low is None or options.full is None:
            problem = "Give LOW and FULL, or --pairs CSV and --out DIR."
        elif options.out is not None or options.baselines or options.against is not None:
            problem = "--out, --baselines and --against are for a report: give --pairs CSV in place of LOW and FULL."
    elif options.low is not None:
        problem = "--pairs says what to judge; leave LOW and FULL out."
    elif options.model is not None:
        problem = "--model is for one pair; give --models for a report."
    elif options.out is None:
        problem = "A report on pairs needs a folder: give --out DIR."
    if problem:
        raise InputError(problem, Code.ARGUMENT)


def _one_pair(options: argparse.Namespace) -> None:
    from ..evaluation.evaluate import EvaluationOptions, evaluate_volumes
    from ..evaluation.report import summary
    from ..evaluation.report_tables import text_table

    how = EvaluationOptions(blend=options.blend, every=options.every, device=options.device)
    evaluation = evaluate_volumes(options.low, options.full, options.model, how)
    print(json.dumps(summary(evaluation), indent=2, ensure_ascii=False) if options.json else text_table(evaluation))


def _report(options: argparse.Namespace) -> None:
    from ..evaluation.report import check_report_folder, summary, write_report

    check_report_folder(options.out, overwrite=options.overwrite)
    from ..evaluation.evaluate import EvaluationOptions, evaluate_pairs

    how = EvaluationOptions(
        models=options.models,
        baselines=options.baselines,
        against=options.against,
        blend=options.blend,
        split=options.split,
        every=options.every,
        dose=options.dose,
        kernel=options.kernel,
        phantom_scans=options.phantom_scans,
        device=options.device,
    )
    with said_when_written(options.out):
        evaluation = evaluate_pairs(options.pairs, how)
        page = write_report(evaluation, options.out)
    print(json.dumps(summary(evaluation), indent=2, ensure_ascii=False) if options.json else page)
