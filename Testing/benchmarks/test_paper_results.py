"""``make results``: the paper's experiments trained within a budget, shared where they are alike, and told as they were found."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from benchmarks.paper_results import runs as runs_module
from benchmarks.paper_results import smaller_pictures
from benchmarks.paper_results.budget import SMALL, Budget, within
from benchmarks.paper_results.measure import Measured, measure
from benchmarks.paper_results.page import NOT_RUN, NPS_MEAN, PSNR, QUALITY, RMSE, SSIM, VIF, Results, agreement, page
from benchmarks.paper_results.results import make_results, read_recipes
from benchmarks.paper_results.runs import Training, begins_like, train_systems
from benchmarks.paper_results.split import write_split
from benchmarks.paper_results.systems import CLAIMS, SHIPPED, SYSTEMS, Expected
from LDCTDenoiseLib.data.pairs_csv import read_pairs
from LDCTDenoiseLib.errors import InputError, TrainingError
from LDCTDenoiseLib.evaluation.patient_table import PatientRow, Summary
from LDCTDenoiseLib.models.model_info import ModelInfo
from LDCTDenoiseLib.training.config import DataConfig, LossConfig, TrainingConfig, config_record
from LDCTDenoiseLib.training.train import train
from Testing.training.test_patches import write_phantom

RECIPES = read_recipes()
PRELIMINARY = ("paper-a", "paper-b", "paper-c", "paper-d")
TINY = Budget(first_steps=4, later_steps=2, steps_per_epoch=2, batch_norm_batches=2)


def tiny(config: TrainingConfig) -> TrainingConfig:
    """Seconds instead of hours, and without VGG."""
    config = within(TINY, config)
    levels = tuple(replace(level, loss=LossConfig()) for level in config.levels)
    return replace(config, levels=levels, data=replace(config.data, patch_size=16, batch_size=2))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with volumes of four patients and the CSV of their split."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "data").mkdir()
    for seed, name in enumerate(("anna", "bert", "carl", "dora")):
        write_phantom(folder / "data" / f"{name}.nrrd", seed=seed)
    write_split(folder / "data", DataConfig(validate=("bert",), test=("carl", "dora")), folder / "pairs.csv")
    return folder


def training(work: Path, runs: Path, recipe: Callable[[TrainingConfig], TrainingConfig] = tiny) -> Training:
    return Training(work / "pairs.csv", runs, work / "cache", recipe, device="cpu")


@pytest.fixture(scope="module")
def trained(work: Path) -> Path:
    """Run folders of A to D."""
    assert train_systems([RECIPES[name] for name in PRELIMINARY], training(work, work / "runs")) == {}
    return work / "runs"


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """The run folders, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "runs"))


def tensors(run: Path) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in load_file(run / f"{run.name}.safetensors").items()}


def test_the_split_is_the_shipped_models_by_patient_and_asks_for_inserted_noise(tmp_path: Path) -> None:
    split = RECIPES["default"].data
    for patient in (*split.validate, *split.test, "one", "two"):
        (tmp_path / f"{patient}.nrrd").touch()
    found = read_pairs(write_split(tmp_path, split, tmp_path / "runs" / "pairs.csv"))
    named = {name: {pair.patient for pair in found if pair.split == name} for name in ("train", "validate", "test")}
    assert named == {"train": {"one", "two"}, "validate": set(split.validate), "test": set(split.test)}
    assert all(pair.low is None and pair.full.path.exists() for pair in found)


def test_the_small_budget_is_the_same_for_all_and_leaves_the_experiment_as_it_is() -> None:
    for name in PRELIMINARY:
        recipe, plan = RECIPES[name], within(SMALL, RECIPES[name])
        assert [level.steps for level in plan.levels] == [SMALL.first_steps, SMALL.later_steps][: len(plan.levels)]
        assert {(level.learning_rate, level.last_layer_rate, level.schedule) for level in plan.levels} == {(2e-3, 0.02, "cosine")}
        assert all(level.precision == "32" for level in plan.levels[1:])
        assert (plan.data, plan.seed) == (recipe.data, recipe.seed)
        for level, published in zip(plan.levels, recipe.levels, strict=True):
            assert (level.level, level.loss) == (published.level, published.loss)


def test_systems_and_claims_are_complete() -> None:
    assert {system.config for system in (*SYSTEMS, SHIPPED)} == set(RECIPES)
    assert tuple(system.config for system in SYSTEMS if system.preliminary) == PRELIMINARY
    assert {name for claim in CLAIMS for name in (claim.system, claim.other)} <= {system.name for system in SYSTEMS}


@pytest.mark.parametrize(("name", "first"), [("paper-c", "paper-b"), ("paper-d", "paper-a")])
def test_a_shared_first_level_is_what_training_it_alone_gives(
    name: str, first: str, trained: Path, work: Path, tmp_path: Path
) -> None:
    alone = train(
        tiny(RECIPES[first]), work / "pairs.csv", tmp_path / "alone", cache=work / "cache", device="cpu", progress=False
    )
    cascade = tensors(trained / name)
    for key, tensor in load_file(alone).items():
        np.testing.assert_array_equal(cascade[key], tensor.numpy(), err_msg=key)
    later = [tensor for key, tensor in cascade.items() if key not in load_file(alone)]
    assert any(np.abs(tensor).max() > 0 for tensor in later)


def test_only_a_true_beginning_is_shared() -> None:
    a, b, c, three = (RECIPES[f"paper-{name}"] for name in ("a", "b", "c", "3level"))
    assert begins_like(c, b)
    assert begins_like(three, c)
    assert begins_like(RECIPES["wu-cascade"], RECIPES["paper-cnn10"])
    assert not begins_like(c, a)
    assert not begins_like(b, b)
    assert not begins_like(c, replace(b, seed=2))
    assert not begins_like(c, tiny(b))


def test_what_is_finished_is_not_repeated(work: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "train", lambda *arguments, **settings: pytest.fail("trained again"))
    assert train_systems([RECIPES[name] for name in PRELIMINARY], training(work, trained)) == {}


def test_a_broken_run_goes_on_to_the_same_model(work: Path, trained: Path, runs: Path) -> None:
    """As if it was killed in its second level."""
    (runs / "paper-c" / "paper-c.safetensors").unlink()
    shutil.rmtree(runs / "paper-c" / "level2")
    before = (runs / "paper-c" / "level1" / "last.ckpt").read_bytes()
    assert train_systems([RECIPES["paper-b"], RECIPES["paper-c"]], training(work, runs)) == {}
    assert (runs / "paper-c" / "level1" / "last.ckpt").read_bytes() == before
    again, first = tensors(runs / "paper-c"), tensors(trained / "paper-c")
    for key, tensor in first.items():
        np.testing.assert_array_equal(again[key], tensor, err_msg=key)


def test_a_run_of_another_budget_is_neither_shown_nor_overwritten(work: Path, runs: Path) -> None:
    with pytest.raises(InputError, match=r"paper-a holds a run of another budget"):
        train_systems([RECIPES["paper-a"]], training(work, runs, partial(within, SMALL)))


def test_a_run_of_the_full_recipe_counts_on_a_machine_that_has_not_the_time(
    work: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "train", lambda *arguments, **settings: pytest.fail("trained again"))
    published = tiny(RECIPES["paper-a"])  # what these folders hold
    assert train_systems([published], training(work, runs, partial(within, SMALL))) == {}


def test_one_that_fails_does_not_stop_the_others(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def failing(config: TrainingConfig, *arguments: object, **settings: object) -> None:
        begun.append(config.name)
        if config.name == "paper-a":
            raise TrainingError("The loss is no number.")

    monkeypatch.setattr(runs_module, "train", failing)
    failed = train_systems([RECIPES["paper-a"], RECIPES["paper-d"]], training(work, tmp_path / "runs"))
    assert failed == {"paper-a": "The loss is no number."}
    assert begun == ["paper-a", "paper-d"]
    assert not (tmp_path / "runs" / "paper-d").exists()  # nothing was there to go on from


@pytest.fixture(scope="module")
def shown(work: Path, trained: Path) -> Path:
    """The folder of results, from the data to the page."""
    out = work / "docs"
    judge = partial(measure, baselines=("median",), phantom_scans=0)
    make_results(PRELIMINARY, training(work, trained), out, every=1, judge=judge)
    return out


def cells(text: str, section: str) -> dict[str, list[str]]:
    """The rows of a section's table by their first cell."""
    table = text.partition(f"## {section}")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows}


def test_the_page_tells_what_the_report_measured(shown: Path) -> None:
    text = (shown / "README.md").read_text(encoding="utf-8")
    with (shown / "patients.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = cells(text, "Quality, blend 1")
    for name, method in {"A": "paper-a", "D": "paper-d", "default": "default", "median": "median", "input": "input"}.items():
        for column, (measure_, form) in enumerate(QUALITY.values()):
            values = [float(row[measure_]) for row in rows if row["method"] == method]
            assert len(values) == 2
            mean, sd = found[name][2 + column].split(" ± ")
            tolerance = 0.6 * 10 ** -int(form[3])
            assert float(mean) == pytest.approx(np.mean(values), abs=tolerance)
            assert float(sd) == pytest.approx(np.std(values, ddof=1), abs=tolerance)
    assert "radius" in found["median"][0]
    blended = cells(text, "Quality, blend 0.7")
    assert blended["default"][0] != found["default"][2]
    assert json.loads((shown / "results.json").read_text(encoding="utf-8"))["figures"]["blend 0.7"].keys() >= set(PRELIMINARY)


def test_the_differences_are_those_of_the_means(shown: Path) -> None:
    found = json.loads((shown / "summary.json").read_text(encoding="utf-8"))["summary"]
    told = cells((shown / "README.md").read_text(encoding="utf-8"), "What the paper claims, and what was found")
    expected = found["paper-c"][PSNR]["mean"] - found["paper-a"][PSNR]["mean"]
    assert float(told["C minus A"][1]) == pytest.approx(expected, abs=0.006)
    assert re.fullmatch(r"[012] of 2 patients", told["C minus A"][-2])


def test_what_was_not_run_is_said_everywhere(shown: Path) -> None:
    text = (shown / "README.md").read_text(encoding="utf-8")
    missing = [system.name for system in SYSTEMS if not system.preliminary]
    assert f"**Not run yet:** {', '.join(missing)}." in text
    for name in missing:
        assert set(cells(text, "Quality, blend 1")[name][2:]) == {NOT_RUN}
        assert set(cells(text, "Quality, blend 0.7")[name]) == {NOT_RUN}
        assert cells(text, "How they were trained")[name][1] == NOT_RUN
    claims = cells(text, "What the paper claims, and what was found")
    assert set(claims["3-level minus C"][1:]) == {NOT_RUN}
    assert NOT_RUN not in claims["C minus B"]


def test_a_small_budget_is_called_preliminary_with_its_steps(shown: Path) -> None:
    text = (shown / "README.md").read_text(encoding="utf-8")
    assert "**Preliminary.**" in text
    assert "A 4 of 132,000; B 4 of 132,000; C 6 of 220,000; D 6 of 220,000" in text
    assert cells(text, "How they were trained")["C"][1:3] == ["4; 2", "132,000; 88,000"]


def test_all_that_the_page_links_to_is_there_and_small(shown: Path) -> None:
    text = (shown / "README.md").read_text(encoding="utf-8")
    links = {link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}
    assert {"summary.json", "slices.csv", "figure2.png", "figure5.png", "figure6.png"} <= links
    assert all((shown / link).is_file() for link in links)
    assert {path.name for path in shown.iterdir()} == {*links, "README.md", "report.html"}
    assert smaller_pictures.size_of(shown) < smaller_pictures.MOST_BYTES


def full_results(decibels: float) -> Results:
    """All systems, trained to the end; every figure made up."""
    methods = [system.config for system in (*SYSTEMS, SHIPPED)]
    values = dict.fromkeys((PSNR, SSIM, VIF, RMSE, NPS_MEAN), decibels)
    figures = {name: {key: Summary(value, float("nan"), 1, float("nan")) for key, value in values.items()} for name in methods}
    made = {
        name: ModelInfo(
            name,
            (),
            training={
                "config": config_record(recipe),
                "steps": [level.steps for level in recipe.levels],
                "minutes": [1.0 for _ in recipe.levels],
                "device": "a device",
            },
        )
        for name, recipe in RECIPES.items()
    }
    patients = [PatientRow("P", name, values, None) for name in methods]
    return Results(RECIPES, made, Measured({1.0: figures, 0.7: figures}, patients, dict.fromkeys(methods, ""), 1))


def test_the_page_holds_no_figure_of_its_own(tmp_path: Path) -> None:
    one, other = (page(full_results(decibels), tmp_path) for decibels in (31.0, 77.0))
    assert one.count("31.0") > 100
    assert one.replace("31.0", "77.0") == other
    assert NOT_RUN not in one
    assert "Preliminary" not in one
    assert "Not run yet" not in one


def test_without_any_run_the_page_stands_and_links_nothing(tmp_path: Path) -> None:
    text = page(Results(RECIPES), tmp_path)
    assert set(cells(text, "Quality, blend 1")["A"][2:]) == {NOT_RUN}
    assert [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link] == []


@pytest.mark.parametrize(
    ("expected", "decibels", "similarity", "frequency", "told"),
    [
        (Expected.BETTER, 0.2, 0.01, 0.0, "yes"),
        (Expected.BETTER, 0.2, -0.01, 0.0, "in part"),
        (Expected.BETTER, -0.2, -0.01, 0.0, "no"),
        (Expected.BETTER, 0.004, -0.00004, 0.0, "no difference"),
        (Expected.EQUAL, 0.05, -0.001, 0.0, "yes"),
        (Expected.EQUAL, 0.2, 0.0, 0.0, "no"),
        (Expected.LESS_SMOOTH, -1.0, -1.0, 0.1, "yes"),
        (Expected.LESS_SMOOTH, 1.0, 1.0, -0.1, "no"),
        (Expected.LESS_SMOOTH, 1.0, 1.0, 0.004, "no difference"),
        (Expected.LESS_SMOOTH, 1.0, 1.0, float("nan"), ""),
        (Expected.NOTHING, 1.0, 1.0, 1.0, ""),
    ],
)
def test_a_claim_is_held_against_what_it_is_about(
    expected: Expected, decibels: float, similarity: float, frequency: float, told: str
) -> None:
    assert agreement(expected, {PSNR: decibels, SSIM: similarity, NPS_MEAN: frequency}) == told


def changed(results: Results, decibels: dict[str, float]) -> Results:
    """With another PSNR of some methods; those that are new are filters."""
    assert results.measured is not None
    some = next(iter(results.measured.figures[1.0].values()))
    figures = dict(results.measured.figures[1.0])
    for method, value in decibels.items():
        figures[method] = {**figures.get(method, some), PSNR: Summary(value, float("nan"), 1, float("nan"))}
    notes = {**results.measured.notes, **dict.fromkeys(decibels, "")}
    return replace(results, measured=replace(results.measured, figures={1.0: figures, 0.7: figures}, notes=notes))


def test_systems_that_are_no_better_than_a_filter_are_named(tmp_path: Path) -> None:
    decibels = {"paper-a": 20.0, "paper-b": 26.0, "input": 22.0, "median": 25.0, "non-local means": 27.0}
    text = page(changed(full_results(31.0), decibels), tmp_path)
    assert "PSNR no higher than that of the low dose as it is: A. " in text
    assert "PSNR no higher than that of the best tuned filter (non-local means): A, B." in text


def test_what_was_found_otherwise_than_claimed_is_said(tmp_path: Path) -> None:
    text = page(changed(full_results(31.0), {"paper-3level": 31.5, "wgan-vgg": 30.0}), tmp_path)
    verdicts = next(line for line in text.splitlines() if "**Not as claimed**" in line)
    assert "3-level minus C (negligible improvement)" in verdicts.partition("**Not as claimed**")[2]
    assert "C minus WGAN-VGG" in verdicts.partition("In part")[2].partition("**")[0]


def noise_png(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(side)).save(buffer, format="PNG")
    return buffer.getvalue()


def noise(side: int) -> np.ndarray:
    """Random grey, as CT in three equal channels: PNG takes it badly."""
    grey = np.random.default_rng(0).integers(0, 256, (side, side, 1), np.uint8)
    return np.repeat(grey, 3, axis=2)


def page_with_pictures(folder: Path, side: int) -> Callable[[], np.ndarray]:
    """Write a picture, and a page that holds it; returns what reads the page's picture."""
    png = noise_png(side)
    (folder / "figure2.png").write_bytes(png)
    source = f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}">'
    (folder / "report.html").write_text(f"<p>before</p>{source}<p>after</p>", encoding="utf-8")

    def embedded() -> np.ndarray:
        text = (folder / "report.html").read_text(encoding="utf-8")
        found = re.fullmatch(r'<p>before</p><img src="data:image/\w+;base64,([^"]+)"><p>after</p>', text)
        assert found
        with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
            return np.array(image)

    return embedded


def test_a_page_first_gets_smaller_without_any_loss(tmp_path: Path) -> None:
    embedded = page_with_pictures(tmp_path, 600)
    before = (tmp_path / "figure2.png").read_bytes()
    most = smaller_pictures.size_of(tmp_path) - 1000
    assert smaller_pictures.fit(tmp_path, most) == smaller_pictures.size_of(tmp_path) <= most
    np.testing.assert_array_equal(embedded(), noise(600))
    assert (tmp_path / "figure2.png").read_bytes() == before


def test_pictures_shrink_until_the_folder_is_small_enough(tmp_path: Path) -> None:
    embedded = page_with_pictures(tmp_path, 600)
    assert smaller_pictures.fit(tmp_path, 700_000) == smaller_pictures.size_of(tmp_path) <= 700_000
    with Image.open(tmp_path / "figure2.png") as image:
        assert 320 <= image.width < 600
        assert embedded().shape[:2] == image.size


def test_pictures_of_a_folder_that_is_small_enough_stay(tmp_path: Path) -> None:
    (tmp_path / "figure2.png").write_bytes(noise_png(100))
    before = (tmp_path / "figure2.png").read_bytes()
    smaller_pictures.fit(tmp_path)
    assert (tmp_path / "figure2.png").read_bytes() == before


def test_a_folder_that_no_shrinking_helps_is_refused(tmp_path: Path) -> None:
    (tmp_path / "slices.csv").write_bytes(b"0" * 2000)
    with pytest.raises(InputError, match=r"more than 0\.001 MB"):
        smaller_pictures.fit(tmp_path, 1000)
