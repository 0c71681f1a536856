"""``make results``: judged once, told with intervals, drawn without training or judging again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.paper_results import judge as judging
from benchmarks.paper_results import results as results_module
from benchmarks.paper_results.bootstrap import Interval, paired_bootstrap
from benchmarks.paper_results.judge import (
    COST,
    GAIN,
    GAIN_BLENDED,
    KEPT,
    NPS_EQUAL,
    JudgedOn,
    judge,
    read_judged,
    write_judged,
)
from benchmarks.paper_results.page import (
    MISSING,
    UNJUDGED,
    Results,
    Verdict,
    differences,
    mean_and_sd,
    page,
    ten_lines,
    verdict,
)
from benchmarks.paper_results.parts import PARTS
from benchmarks.paper_results.plan import Granted
from benchmarks.paper_results.results import Show, parts_left, show_results
from benchmarks.paper_results.systems import CLAIMS, OTHERS, PUBLISHED, SYSTEMS, Claim, Expected
from benchmarks.paper_results.weights import export, weights_file
from LDCTDenoiseLib.data.pairs_csv import Pair, Source, write_pairs
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.evaluation.local_response import NOISE_LEFT_MEDIAN, NOISE_LEFT_P90
from LDCTDenoiseLib.evaluation.methods import INPUT, Method
from LDCTDenoiseLib.evaluation.slice_table import RMSE
from LDCTDenoiseLib.models.cascade import Cascade
from LDCTDenoiseLib.models.level import Level, Predicts
from LDCTDenoiseLib.models.model_file import save_model
from LDCTDenoiseLib.models.model_info import ModelInfo
from LDCTDenoiseLib.simulation.phantom import make_phantom
from Testing.training.test_patches import write_phantom

GRANTED = {name: Granted(1.0, 100) for name in PARTS}


@pytest.mark.parametrize("count", [6, 20])
def test_an_interval_covers_a_known_mean_as_often_as_it_says(count: int) -> None:
    """Patients' own differences have SD 1, slices' 0.5; of 300 experiments about 19 in 20 hold the true mean."""
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(300):
        patients = {f"p{n}": (0.3 + rng.normal(0, 1) + rng.normal(0, 0.5, 3)).tolist() for n in range(count)}
        found = paired_bootstrap(patients, repeats=1000, seed=trial)
        inside += found.low <= 0.3 <= found.high
    assert 0.91 <= inside / 300 <= 0.98


def test_slices_of_one_patient_do_not_pass_for_patients() -> None:
    """A hundred slices of two patients that differ say less than their number."""
    rng = np.random.default_rng(0)
    two = {"a": (1 + rng.normal(0, 0.1, 50)).tolist(), "b": (-0.6 + rng.normal(0, 0.1, 50)).tolist()}
    found = paired_bootstrap(two)
    assert found.low < 0 < found.high
    assert found.mean == pytest.approx(0.2, abs=0.05)


def test_equal_differences_leave_no_doubt_and_none_is_refused() -> None:
    assert paired_bootstrap({"a": [0.5, 0.5], "b": [0.5]}) == Interval(0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="two patients"):
        paired_bootstrap({"a": [0.5, 0.4], "b": []})


@pytest.mark.parametrize(
    ("expected", "low", "high", "told"),
    [
        (Expected.HIGHER, 0.1, 0.3, Verdict.HOLDS),
        (Expected.HIGHER, -0.3, -0.1, Verdict.FAILS),
        (Expected.HIGHER, -0.1, 0.3, Verdict.UNDECIDED),
        (Expected.LOWER, -0.3, -0.1, Verdict.HOLDS),
        (Expected.LOWER, 0.1, 0.3, Verdict.FAILS),
        (Expected.WITHIN, -0.05, 0.09, Verdict.HOLDS),
        (Expected.WITHIN, 0.12, 0.3, Verdict.FAILS),
        (Expected.WITHIN, 0.05, 0.3, Verdict.UNDECIDED),
        (Expected.NOTHING, 0.1, 0.3, Verdict.HIGHER),
        (Expected.NOTHING, -0.3, -0.1, Verdict.LOWER),
    ],
)
def test_a_claim_is_held_against_the_whole_interval(expected: Expected, low: float, high: float, told: Verdict) -> None:
    assert verdict(Claim("C", "B", "words", GAIN, expected), Interval((low + high) / 2, low, high)) is told


def made_up(value: float, spread: float = 0.02) -> dict[str, Any]:
    """The record of a system whose every figure is about a value."""
    rng = np.random.default_rng(int(1000 * abs(value)))
    names = (GAIN, GAIN_BLENDED, judging.GAIN_CHEST, judging.SSIM, judging.SSIM_BLENDED, RMSE, *judging.BIASES)
    names = (*names, NOISE_LEFT_MEDIAN, NOISE_LEFT_P90, *KEPT.values(), COST, judging.NPS_MEAN, NPS_EQUAL)
    rows = [
        {
            "group": "test",
            "patient": patient,
            "dose": dose,
            "slice": number,
            "values": {name: value + spread * float(rng.normal()) for name in names},
        }
        for patient in ("P", "Q", "R")
        for dose in (0.25, 0.10)
        for number in range(3)
    ]
    return {
        "slices": rows,
        "ttf50": {"10": {"200": value, "400": value}, "20": {"200": value, "400": value}},
        "size": {"parameters": 225601, "gflop": 117.4, "seconds_a_slice": 1.0},
    }


def all_judged(**values: float) -> Results:
    """Every row there; those that are named have another value than 2."""
    names = [*(system.name for system in SYSTEMS), *OTHERS]
    loss = {"mse": 1.0, "perceptual": 0.0, "adversarial": 0.0}
    records = {name: {"kept_step": 90, "loss": loss, "steps": 100, "precision": "32"} for name in PARTS}
    return Results({name: made_up(values.get(name, 2.0)) for name in names}, records, GRANTED, shipped="all of it")


def rows(text: str, first: str) -> list[list[str]]:
    """The rows of all tables that begin so."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in cells if row[0] == first]


def test_no_row_is_missing_once_all_are_judged() -> None:
    text = page(all_judged())
    assert MISSING not in text
    for name in (*(system.name for system in SYSTEMS), *OTHERS):
        assert len(rows(text, name)) >= 5
    assert sum(len(rows(text, claim)) for claim in {one.published for one in CLAIMS}) == len(CLAIMS)
    assert all(row[2] in {one.value for one in Verdict} for claim in PUBLISHED for row in rows(text, claim))


def test_the_page_begins_with_ten_lines() -> None:
    text = page(all_judged())
    first = text.partition("## In ten lines")[2].partition("## ")[0]
    assert [line.partition(".")[0] for line in first.splitlines() if line] == [str(n) for n in range(1, 11)]
    assert all(words in first for words in PUBLISHED)


def test_what_differs_is_found_and_what_does_not_is_undecided() -> None:
    told = ten_lines(all_judged(A=2.5, CNN10=2.2))
    line = next(one for one in told if one.startswith("A DRL beats CNN10"))
    assert "A against CNN10 **holds** (gain at blend 0.7 +0.2" in line
    assert "225,601 parameters against 225,601" in line
    text = page(all_judged(A=2.5, CNN10=2.7))
    assert [row[2] for row in rows(text, "A DRL beats CNN10 with fewer parameters")] == ["does not hold"] * 2


def test_a_system_that_learnt_nothing_is_named() -> None:
    line = ten_lines(all_judged(**{"WGAN-VGG": -19.0}))[8]
    assert "Learnt too little on this budget for a comparison to say anything: WGAN-VGG -1" in line
    assert "Learnt too little" not in ten_lines(all_judged())[8]


def test_rows_that_are_not_there_are_told_everywhere() -> None:
    results = all_judged()
    judged = {name: record for name, record in results.judged.items() if name in OTHERS}
    records = {name: record for name, record in results.records.items() if name == "a-1"}
    text = page(replace(results, judged=judged, records=records))
    for system in SYSTEMS:
        assert set(rows(text, system.name)[0][1:]) == {MISSING}
    assert all(row[2] == "open" for claim in PUBLISHED for row in rows(text, claim))
    assert "Judged: none yet" in text
    assert "a-1: 100 (best at 90, 32)" in text
    assert "a-2: 100 (not trained yet)" in text


def test_measures_that_do_not_exist_are_told_and_decide_nothing() -> None:
    results = all_judged()
    for row in results.judged["B"]["slices"]:
        row["values"][COST] = None
    results.judged["B"]["ttf50"]["10"]["200"] = None
    text = page(results)
    told = {row[1]: row[2:4] for row in rows(text, "The perceptual loss keeps structure")}
    assert told["B minus A"] == ["open", "too few slices in which both have it"]
    assert "n/a" in rows(text, "B")[-2]


def test_what_was_trained_but_not_judged_is_told_so() -> None:
    results = all_judged()
    judged = {name: record for name, record in results.judged.items() if name not in ("A", "default")}
    text = page(replace(results, judged=judged))
    assert set(rows(text, "A")[0][1:]) == set(rows(text, "default")[0][1:]) == {UNJUDGED}


def test_figures_of_the_page_are_means_over_patients() -> None:
    results = all_judged(A=3.0)
    record = results.judged["A"]
    means = [
        np.mean([row["values"][GAIN] for row in record["slices"] if row["patient"] == patient and row["dose"] == 0.25])
        for patient in ("P", "Q", "R")
    ]
    assert mean_and_sd(record, GAIN, 0.25) == pytest.approx((np.mean(means), np.std(means, ddof=1)))
    assert rows(page(results), "A")[0][1] == f"{np.mean(means):+.2f} ± {np.std(means, ddof=1):.2f}"


def test_differences_are_paired_by_slice_and_leave_out_what_does_not_exist() -> None:
    one, other = made_up(2.0), made_up(1.0)
    one["slices"][0]["values"][COST] = None
    found = differences(one, other, COST)
    assert {patient: len(values) for patient, values in found.items()} == {"P": 3, "Q": 3, "R": 3}
    values = [row["values"] for row in one["slices"]], [row["values"] for row in other["slices"]]
    assert found["P"][-1] == values[0][3][COST] - values[1][3][COST]  # only the second dose has it
    assert found["Q"][0] == pytest.approx(np.mean([values[0][number][COST] - values[1][number][COST] for number in (6, 9)]))


def scan(noise: float = 25.0) -> JudgedOn:
    truth = make_phantom(1, 256).truth
    full, low = (truth + np.random.default_rng(n).normal(0, sd, truth.shape) for n, sd in ((1, 5.0), (2, noise)))
    return JudgedOn("test", 0.25, DosePair("P", "P", low.astype(np.float32), full.astype(np.float32), (1.4, 1.4), (0,)))


@pytest.fixture(scope="module")
def halved() -> Sequence[dict[str, float]]:
    """Figures of the input, and of a method that takes half of everything away that the input has beyond the truth."""
    one = scan()
    half = Method("half", lambda low, noise_hu: 0.5 * low + 0.5 * one.pair.full)
    return [judge(method, [one], phantom_scans=0)["slices"][0]["values"] for method in (INPUT, half)]


def test_the_input_gains_nothing_and_keeps_everything(halved: Sequence[dict[str, float]]) -> None:
    values = halved[0]
    assert values[GAIN] == values[GAIN_BLENDED] == 0
    assert values[judging.SSIM_BLENDED] == values[judging.SSIM]
    assert values[NPS_EQUAL] is None
    assert values[NOISE_LEFT_MEDIAN] == values[NOISE_LEFT_P90] == 1
    assert all(values[name] == pytest.approx(1, abs=1e-3) for name in KEPT.values())
    assert values[COST] is None


def test_half_the_noise_and_half_the_signal_cost_as_much_as_was_removed(halved: Sequence[dict[str, float]]) -> None:
    values = halved[1]
    assert values[GAIN] > 5
    assert values[NOISE_LEFT_MEDIAN] == pytest.approx(0.5, abs=0.05)
    assert all(values[name] == pytest.approx(0.5, abs=1e-3) for name in KEPT.values())
    assert values[COST] == pytest.approx(1, abs=0.05)


def test_the_blend_of_the_paper_is_judged_too(halved: Sequence[dict[str, float]]) -> None:
    """Of half the difference to the truth 0.7 are taken: 0.65 of it are left."""
    assert halved[1][GAIN_BLENDED] == pytest.approx(-20 * np.log10(0.65), abs=0.3)
    assert halved[0][judging.SSIM] < halved[1][judging.SSIM_BLENDED] < halved[1][judging.SSIM]


def test_the_cost_and_the_nps_at_equal_noise_do_not_change_by_blending() -> None:
    one = scan()

    def blur(low: np.ndarray) -> np.ndarray:
        return (low + np.roll(low, 1, axis=1) + np.roll(low, 1, axis=2) + np.roll(low, -1, axis=1)) / 4

    blends = [Method("blend", lambda low, noise_hu, share=share: share * blur(low) + (1 - share) * low) for share in (0.8, 1.0)]
    less, more = (judge(blend, [one], phantom_scans=0)["slices"][0]["values"] for blend in blends)
    assert less[COST] == pytest.approx(more[COST], rel=1e-3)
    assert less[NPS_EQUAL] == pytest.approx(more[NPS_EQUAL], rel=1e-3)
    assert less[NPS_EQUAL] != pytest.approx(less[judging.NPS_MEAN], rel=1e-2)
    assert less[judging.NPS_MEAN] != pytest.approx(more[judging.NPS_MEAN], rel=1e-2)


def test_the_phantom_is_scanned_at_the_noise_that_is_told() -> None:
    doses = judging.phantom_doses()
    assert doses[10] == pytest.approx(4 * doses[20])
    assert 0.05 < doses[20] < 2


def test_figures_of_other_weights_do_not_count(tmp_path: Path) -> None:
    write_judged({"source": {"a-2": "one"}, **made_up(1.0)}, tmp_path / "a.json")
    assert read_judged(tmp_path / "a.json", {"a-2": "one"}) is not None
    assert read_judged(tmp_path / "a.json", {"a-2": "other"}) is None
    assert read_judged(tmp_path / "a.json", {"a-2": "one", "a-3": None}) is None
    assert read_judged(tmp_path / "a.json", {"a-2": None}) is not None  # weights that are not there
    assert read_judged(tmp_path / "b.json", {}) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"source": null}'])
def test_a_damaged_file_of_figures_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="damaged"):
        read_judged(tmp_path / "a.json", {})


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Show:
    """Results of A alone, with a network that was hardly trained, on a phantom."""
    folder = tmp_path_factory.mktemp("shown")
    cascade = Cascade([Level("drl-difference", Predicts.DIFFERENCE)]).eval()
    save_model(cascade, ModelInfo("a", cascade.levels), folder / "a.safetensors")
    loss = {"mse": 1.0, "perceptual": 0.0, "adversarial": 0.0}
    record = {"kept_step": 4, "steps": 4, "loss": loss, "precision": "bf16-mixed"}
    export(folder / "a.safetensors", 0, record, weights_file(folder / "weights", "a-2"))
    pairs = []
    for name, split in (("anna", "test"), ("bert", "validate")):
        full = write_phantom(folder / f"{name}_full.nrrd", seed=1)
        low = write_phantom(folder / f"{name}_d25.nrrd", seed=2, dose=0.25)
        pairs.append(Pair(name, Source(low), Source(full), split))
    write_pairs(pairs, folder / "pairs.csv")
    show = Show(
        folder / "pairs.csv",
        None,
        folder / "weights",
        folder / "judged",
        folder / "models",
        folder / "out",
        GRANTED,
        phantom_scans=0,
    )
    with pytest.MonkeyPatch.context() as quick:  # tuning and three slices of everything take minutes
        quick.setattr(judging, "SLICES", 1)
        quick.setattr(judging, "_SIDE", 64)
        quick.setattr(results_module, "_filter", lambda csv: Method("none", lambda low, noise_hu: low))
        show_results(show)
    return show


def test_a_row_that_was_trained_is_judged_and_shown(shown: Show) -> None:
    text = (shown.out / "README.md").read_text(encoding="utf-8")
    assert MISSING not in rows(text, "A")[0]
    assert {path.stem for path in shown.judged.iterdir()} == {"a", "default", "nlm", "input"}
    links = {link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}
    assert links - {"frontier.md", "levels.md"} == {"figure2.png", "figure5.png"}
    assert all((shown.out / link).is_file() for link in links - {"frontier.md", "levels.md"})


def test_what_is_finished_is_drawn_anew_without_training_or_judging(
    shown: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "judge", lambda *_, **__: pytest.fail("judged again"))
    shutil.copytree(shown.out, tmp_path / "out")
    show_results(replace(shown, out=tmp_path / "again"))
    for name in ("README.md", "figure2.png", "figure5.png"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_what_was_judged_stays_without_its_weights(shown: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a fresh clone, where RED-CNN's weights, too large for the repository, are not."""
    monkeypatch.setattr(judging, "judge", lambda *_, **__: pytest.fail("judged again"))
    without = replace(shown, weights=tmp_path / "none", out=tmp_path / "out")
    with_them = page(show_results(replace(shown, out=tmp_path / "with")))
    told = page(show_results(without))
    assert rows(told, "A") == rows(with_them, "A")
    assert "a-2: 100 (best at 4, bf16-mixed)" in told
    assert "a-1" in parts_left(without), "D still needs it"
    assert "a-2" not in parts_left(without)
    unjudged = replace(without, judged=tmp_path / "none")
    assert parts_left(unjudged) == list(PARTS)
    assert "a-2" not in parts_left(replace(unjudged, weights=shown.weights))
