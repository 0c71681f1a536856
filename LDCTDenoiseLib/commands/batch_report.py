"""``ldctdenoise batch-report``: what all runs and shards of a batch have done: done, failed, missing, unexpected."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LDCTDenoiseError, counted

if TYPE_CHECKING:
    from ..denoising.batch.audit import Audit
    from ..denoising.batch.report import Finding, Totals

_TOLD = 10_000
"""Outputs that are told one by one; more would fill the screen and the memory."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "batch-report",
        help="what the runs and shards of a batch have done",
        description=__doc__,
        epilog="The lists of the runs are read again and compared with DST/.ldctdenoise.batch and what lies in DST. "
        "Exit code 1 when anything is failed, missing or unexpected, or the audit finds something.",
    )
    parser.add_argument("target", type=Path, metavar="DST", help="folder of the outputs, as given to ldctdenoise batch")
    parser.add_argument(
        "--audit",
        action="store_true",
        help="compare outputs with inputs: slices of all; contents, grid, and HU at blend 0 of a sample of 20",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..system.files import check_exists

    check_exists(options.target, "the folder of a batch's outputs")
    from ..denoising.batch.audit import audit
    from ..denoising.batch.report import State, Totals, findings

    totals = Totals.none()
    told: list[Finding] = []

    def done() -> Iterator[Finding]:
        for finding in findings(options.target):
            totals.add(finding)
            if finding.state is State.DONE:
                yield finding
            elif len(told) < _TOLD:
                told.append(finding)

    compared = audit(done(), options.target) if options.audit else None
    if compared is None:
        for _ in done():
            pass
    print(_as_json(totals, told, compared) if options.json else _table(totals, told, compared))
    amiss = sum(count for state, count in totals.counts.items() if state is not State.DONE)
    objections = len(compared.objections) if compared else 0
    if amiss or objections:
        raise LDCTDenoiseError(
            f"Not as it should be: {counted(amiss, 'output')}; the audit has {counted(objections, 'objection')}."
        )


def _as_json(totals: Totals, told: list[Finding], compared: Audit | None) -> str:
    report: dict[str, object] = {
        "counts": {state.value: count for state, count in totals.counts.items()},
        "slices": totals.slices,
        "seconds": round(totals.seconds, 3),
        "outputs": [{"output": str(one.output), "state": one.state.value, "reason": one.reason} for one in told],
    }
    if compared is not None:
        objections = [{"output": str(one.output), "reason": one.reason} for one in compared.objections]
        report["audit"] = {
            "series": compared.series,
            "slices": compared.slices,
            "sample": compared.sample,
            "objections": objections,
        }
    return json.dumps(report, indent=2, ensure_ascii=False)


def _table(totals: Totals, told: list[Finding], compared: Audit | None) -> str:
    width = max((len(str(one.output)) for one in told), default=0)
    lines = [f"{one.output!s:{width}}  {one.state.value:10}  {one.reason}".rstrip() for one in told]
    counts = ", ".join(f"{count} {state.value}" for state, count in totals.counts.items())
    lines.append(f"{counts}; {counted(totals.slices, 'slice')} in {totals.seconds / 3600:.2f} hours of work")
    if compared is not None:
        lines += [f"{one.output}: {one.reason}" for one in compared.objections]
        lines.append(
            f"Audit: {counted(compared.slices, 'slice')} of {compared.series} series counted, {compared.sample} series compared; "
            f"{counted(len(compared.objections), 'objection')}"
        )
    return "\n".join(lines)
