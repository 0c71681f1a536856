"""Evaluation of models and filters: tables, tests, tuning, and the report, which a browser shows without a network."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.errors import InputError, OutputError
from LDCTDenoiseLib.evaluation import report as report_module
from LDCTDenoiseLib.evaluation.baselines import BASELINES, find_baseline, tuned_method
from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.evaluation.evaluate import Evaluation, EvaluationOptions, evaluate_pairs
from LDCTDenoiseLib.evaluation.local_response import NOISE_LEFT_MEDIAN, NOISE_LEFT_P90, local_response, noise_left_name
from LDCTDenoiseLib.evaluation.methods import INPUT, Method
from LDCTDenoiseLib.evaluation.patient_table import PatientRow, one_row_per_patient, summarise, volume_rows, wilcoxon_p
from LDCTDenoiseLib.evaluation.phantom_study import PhantomResult, study_phantom
from LDCTDenoiseLib.evaluation.pictures import detail, organ_window, window_for
from LDCTDenoiseLib.evaluation.report import check_report_folder, page_text, write_report
from LDCTDenoiseLib.evaluation.report_tables import text_table
from LDCTDenoiseLib.evaluation.slice_table import quality, slice_rows
from LDCTDenoiseLib.measures.image_quality import ABDOMEN, BRAIN, CHEST, LIVER, WINDOWS
from LDCTDenoiseLib.measures.signal_kept import LESIONS
from LDCTDenoiseLib.measures.tissue_bias import tissue_masks
from LDCTDenoiseLib.simulation.phantom import make_phantom
from Testing.system.unprivileged import as_nobody, closed_folder

SIZE = 128


pytestmark = pytest.mark.usefixtures("few_places")


def write(path: Path, hu: np.ndarray, mm: float = 400 / SIZE) -> Path:
    image = sitk.GetImageFromArray(np.rint(hu).astype(np.int16))
    image.SetSpacing((mm, mm, 5.0))
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture(scope="module")
def pairs_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A validation patient, a test patient with two volumes, and one whose low dose is to be simulated."""
    folder = tmp_path_factory.mktemp("pairs")
    phantom = make_phantom(2, SIZE)
    rng = np.random.default_rng(0)
    lines = ["patient,low,full,split"]
    for patient, name, split, paired in (
        ("V", "v", "validate", True),
        ("P", "p1", "test", True),
        ("P", "p2", "test", True),
        ("S", "s", "test", False),
    ):
        full = phantom.truth + rng.normal(0, 10, phantom.truth.shape)
        write(folder / f"{name}_full.nrrd", full)
        if paired:
            write(folder / f"{name}_low.nrrd", full + rng.normal(0, 40, full.shape))
        lines.append(f"{patient},{f'{name}_low.nrrd' if paired else ''},{name}_full.nrrd,{split}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "pairs.csv"


def blurred(low: np.ndarray, noise_hu: float) -> np.ndarray:
    return np.stack([gaussian_filter(one.astype(float), 1.0) for one in low])


@pytest.fixture(scope="module")
def phantom_results() -> list[PhantomResult]:
    return list(study_phantom([INPUT, Method("blur", blurred)], (0.5,), realisations=6, size=256))


@pytest.fixture(scope="module")
def evaluation(pairs_csv: Path, tiny_model: Path, phantom_results: list[PhantomResult]) -> Evaluation:
    options = EvaluationOptions(models=[str(tiny_model)], baselines=["median"], phantom_scans=0, device="cpu")
    done = evaluate_pairs(pairs_csv, options)
    done.phantom += phantom_results
    return done


@pytest.fixture(scope="module")
def report(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(evaluation, tmp_path_factory.mktemp("report"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_slice_table_agrees_with_skimage(evaluation: Evaluation, report: Path, pairs_csv: Path) -> None:
    low, full = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(pairs_csv.parent / f"p2_{dose}.nrrd"))).astype(float)
        for dose in ("low", "full")
    )
    found = [row for row in rows_of(report.parent / "slices.csv") if row["volume"] == "p2_full.nrrd" and row["method"] == "input"]
    assert [row["slice"] for row in found] == ["0", "1"]
    for window in WINDOWS:
        one, other = (image[1].clip(window.low, window.high) - window.low for image in (full, low))
        label = f"{window.name} (data range {window.width:g} HU)"
        decibels = peak_signal_noise_ratio(one, other, data_range=window.width)
        similarity = structural_similarity(
            one, other, data_range=window.width, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert float(found[1][f"PSNR, dB, {label}"]) == pytest.approx(decibels, abs=1e-3)
        assert float(found[1][f"SSIM, {label}"]) == pytest.approx(similarity, abs=1e-4)
    assert float(found[1]["RMSE, HU"]) == pytest.approx(np.sqrt(np.mean((full[1] - low[1]) ** 2)), rel=1e-4)


def test_every_method_stands_on_every_slice_and_patient(report: Path) -> None:
    slices, patients = (rows_of(report.parent / name) for name in ("slices.csv", "patients.csv"))
    methods = ["input", "tiny", "median"]
    assert len(slices) == 3 * len(methods) * 2
    assert [(row["patient"], row["method"]) for row in patients] == [(p, m) for p in ("P", "S") for m in methods]


def test_a_patient_with_two_volumes_counts_once(report: Path) -> None:
    patient = next(row for row in rows_of(report.parent / "patients.csv") if (row["patient"], row["method"]) == ("P", "median"))
    slices = [row for row in rows_of(report.parent / "slices.csv") if (row["patient"], row["method"]) == ("P", "median")]
    assert len(slices) == 4
    assert float(patient["RMSE, HU"]) == pytest.approx(np.mean([float(row["RMSE, HU"]) for row in slices]), rel=1e-4)


def test_the_noise_is_measured_where_it_is(report: Path) -> None:
    patients = {(row["patient"], row["method"]): row for row in rows_of(report.parent / "patients.csv")}
    noise = {method: float(patients["P", method]["noise SD in uniform soft tissue, HU"]) for method in ("input", "median")}
    assert noise["input"] == pytest.approx(math.hypot(10, 40), rel=0.15)
    assert noise["median"] < 0.6 * noise["input"]


def test_the_summary_is_strict_json_with_mean_and_sd_over_patients(report: Path) -> None:
    found = json.loads((report.parent / "summary.json").read_text(encoding="utf-8"))
    values = [found["patients"][patient]["median"]["RMSE, HU"] for patient in ("P", "S")]
    summary = found["summary"]["median"]["RMSE, HU"]
    assert summary["mean"] == pytest.approx(np.mean(values))
    assert summary["sd"] == pytest.approx(np.std(values, ddof=1))
    assert summary["patients"] == 2
    assert found["against"] == "tiny"
    assert found["summary"]["tiny"]["RMSE, HU"]["p_value"] is None
    assert "radius" in found["methods"]["median"]
    assert "tuned for PSNR C50/W400 on V" in found["methods"]["median"]
    assert any("simulated by noise insertion (dose fraction 0.25, soft kernel) for S" in remark for remark in found["remarks"])
    assert found["phantom"][0]["ttf50"].keys() == {"50", "100", "200", "400"}


def test_the_report_needs_nothing_beside_it(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'(?:src|href)="([^"]{0,40})', text))
    assert "http" not in re.sub(r'src="data:[^"]*"', "", text)
    assert "<script" not in text
    for told in (*(window.label for window in WINDOWS), "Wilcoxon", "HU bias", "Task transfer", "Worst slice of all", "blend"):
        assert told in text, told


def test_the_strip_of_blends_shows_the_whole_result_at_blend_1(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(report_module, "blend_strip", lambda low, denoised, *others: shown.append((low, denoised)) or b"")
    view = evaluation.views[0]
    low = view.images["input"].astype(float)
    half = replace(view, images={**view.images, "tiny": low + 5.0})
    page_text(replace(evaluation, blend=0.5, views=[half, *evaluation.views[1:]], phantom=[]))
    np.testing.assert_allclose(shown[0][1] - shown[0][0], 10)


def test_names_of_patients_cannot_break_the_page(evaluation: Evaluation) -> None:
    row = replace(evaluation.patients[0], patient="<script>alert(1)</script>")
    changed = replace(evaluation, patients=[row, *evaluation.patients[1:]], phantom=[], views=evaluation.views)
    assert "<script" not in page_text(changed)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)")
def test_a_browser_shows_the_report_without_a_network(report: Path, tmp_path: Path) -> None:
    count = "document.title = [...document.images].filter(i => i.complete && i.naturalWidth > 300).length + ' pictures shown'"
    page = tmp_path / "page.html"
    page.write_text(report.read_text(encoding="utf-8") + f"<script>onload = () => {{ {count} }}</script>", encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000"]
    command = [str(CHROMIUM), *flags, "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    expected = report.read_text(encoding="utf-8").count("<img")
    assert expected >= 8
    assert f"<title>{expected} pictures shown</title>" in shown


def test_the_phantom_tells_that_a_blur_blurs(phantom_results: list[PhantomResult]) -> None:
    before, after = phantom_results
    assert (before.method, after.method) == ("input", "blur")
    assert after.transfer[400].falls_to(0.5) < 0.8 * before.transfer[400].falls_to(0.5)
    assert after.noise_power.mean_frequency < 0.9 * before.noise_power.mean_frequency
    assert after.noise_power.variance < 0.5 * before.noise_power.variance
    assert after.contrast_to_noise[20].ratio > 1.3 * before.contrast_to_noise[20].ratio
    assert abs(after.bias["soft"] - before.bias["soft"]) < 0.5


def test_the_spectrum_on_the_phantom_is_free_of_its_organs() -> None:
    keep = Method("truth", lambda low, noise_hu: np.repeat(make_phantom(1, SIZE).truth, len(low), axis=0))
    (result,) = study_phantom([keep], (0.5,), realisations=3, size=SIZE)
    assert result.noise_power.variance == pytest.approx(0, abs=1e-6)


def noisy_pair(noise: float = 30) -> DosePair:
    truth = make_phantom(2, SIZE).truth
    return DosePair("V", "v", truth + np.random.default_rng(0).normal(0, noise, truth.shape), truth, (3.1, 3.1), (0, 1))


@pytest.mark.parametrize("name", ["nlm", "median", "curvature", "bm3d"])
def test_baselines_denoise_and_are_tuned_to_their_best(name: str) -> None:
    if name == "bm3d":
        pytest.importorskip("bm3d", reason="bm3d is not installed (licence: non-commercial use only)")
    pair = noisy_pair()
    small = (
        replace(pair, low=pair.low[:1, 32:96, 32:96], full=pair.full[:1, 32:96, 32:96], slices=(0,)) if name == "bm3d" else pair
    )
    baseline = find_baseline(name)
    method = tuned_method(baseline, [small])
    measure = f"PSNR, dB, {ABDOMEN.label}"
    best = quality(method.apply(small.low, small.noise_hu), small.full, [ABDOMEN])[measure]
    assert best > quality(small.low, small.full, [ABDOMEN])[measure] + 0.5
    others = [
        quality(baseline.apply(small.low, small.noise_hu, one), small.full, [ABDOMEN])[measure] for one in baseline.settings()
    ]
    assert best == pytest.approx(max(others))
    assert "tuned for PSNR C50/W400 on V" in method.note


def test_bm3d_is_marked_non_commercial() -> None:
    method = BASELINES["bm3d"].method({"strength": 1.0})
    assert "non-commercial" in method.note


def test_tuning_needs_a_validation_patient() -> None:
    with pytest.raises(InputError, match="split 'validate'"):
        tuned_method(BASELINES["median"], [])


def test_wilcoxon_with_few_patients_is_never_significant() -> None:
    assert wilcoxon_p(np.arange(1.0, 6.0), np.zeros(5)) == pytest.approx(2 / 2**5)
    assert wilcoxon_p(np.arange(1.0, 11.0), np.zeros(10)) < 0.01
    assert wilcoxon_p(np.array([1.0, -1.1, 0.9, -1.0, 1.05, -0.95]), np.zeros(6)) > 0.5
    assert math.isnan(wilcoxon_p(np.ones(4), np.ones(4)))
    assert math.isnan(wilcoxon_p(np.array([1.0, np.nan]), np.zeros(2)))


def test_patients_are_paired_by_name_not_by_order() -> None:
    rows = [PatientRow(f"p{n}", "a", {"x": float(n)}, None) for n in range(6)]
    rows += [PatientRow(f"p{n}", "b", {"x": n + 0.1 * (n + 1)}, None) for n in reversed(range(6))]
    found = summarise(rows, "a")
    assert found["b"]["x"].p_value == pytest.approx(2 / 2**6)
    assert math.isnan(found["a"]["x"].p_value)
    assert (found["a"]["x"].mean, found["a"]["x"].patients) == (2.5, 6)


def test_a_tissue_that_one_volume_lacks_does_not_spoil_the_patients_mean() -> None:
    rows = [PatientRow("p", "a", {"x": value}, None) for value in (math.nan, 2.0, 4.0)]
    assert one_row_per_patient(rows)[0].values == {"x": 3.0}


def test_a_slice_of_air_does_not_spoil_the_patients_mean() -> None:
    pair = noisy_pair()
    pair.low[1] = pair.full[1] = -1000
    rows = slice_rows(pair, "input", pair.low, [ABDOMEN])
    row = volume_rows(pair, {"input": pair.low}, rows, tissue_masks(pair.full), {})[0]
    for measure in ("PSNR, dB", "VIF"):
        name = f"{measure}, {ABDOMEN.label}"
        assert not math.isfinite(rows[1].values[name])
        assert row.values[name] == rows[0].values[name]
    assert row.values["RMSE, HU"] == pytest.approx(rows[0].values["RMSE, HU"] / 2)


def test_equal_images_are_infinitely_alike() -> None:
    rows = [PatientRow(name, "a", {"x": value}, None) for name, value in (("p", math.inf), ("p", math.inf), ("q", 4.0))]
    patients = one_row_per_patient(rows)
    assert [row.values["x"] for row in patients] == [math.inf, 4]
    assert (summarise(patients, "a")["a"]["x"].mean, summarise(patients, "a")["a"]["x"].patients) == (4, 1)
    assert summarise(patients[:1], "a")["a"]["x"].mean == math.inf


def test_noise_is_told_where_no_window_of_a_spectrum_fits() -> None:
    rng = np.random.default_rng(0)
    full = np.full((1, 96, 96), -1000.0)
    full[:, 40:56, 40:56] = 50 + rng.normal(0, 5, (16, 16))  # 16 mm
    pair = DosePair("A", "a", full + rng.normal(0, 12, full.shape), full, (1.0, 1.0), (0,))
    values = volume_rows(pair, {"input": pair.low}, [], {}, {})[0].values
    assert values["noise SD in uniform soft tissue, HU"] == pytest.approx(13, rel=0.25)
    assert math.isnan(values["NPS mean frequency, per cm"])


def test_volumes_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["patient,low,full,split"]
    for folder, noise in (("1mm", 20), ("3mm", 60)):
        (tmp_path / folder).mkdir()
        truth = make_phantom(1, 64).truth
        write(tmp_path / folder / "full.nrrd", truth)
        write(tmp_path / folder / "low.nrrd", truth + np.random.default_rng(0).normal(0, noise, truth.shape))
        lines.append(f"A,{folder}/low.nrrd,{folder}/full.nrrd,test")
    (tmp_path / "pairs.csv").write_text("\n".join(lines), encoding="utf-8")
    done = evaluate_pairs(tmp_path / "pairs.csv", EvaluationOptions(models=(), phantom_scans=0))
    assert [row.volume for row in done.slices] == ["1mm/full.nrrd", "3mm/full.nrrd"]
    for picture in ("compare_slices", "noise_left_maps"):
        monkeypatch.setattr(report_module, picture, lambda *images, **how: b"")
    page = page_text(done)
    assert re.search(r"Worst slice of all: A, 3mm/full.nrrd, slice 0, RMSE of input (59|6[01])\.. HU", page)
    assert re.search(r"Best slice of all: A, 1mm/full.nrrd, slice 0, RMSE of input (19|2[01])\.. HU", page)


def test_the_window_of_a_picture_is_that_of_its_anatomy() -> None:
    abdomen = make_phantom(1, SIZE).truth[0]
    chest = abdomen.copy()
    chest[45:85, 30:98] = -850
    assert window_for(abdomen) is ABDOMEN
    assert window_for(chest) is CHEST
    # Air that noise, the table and the edge of the field lift: around the patient it is no lung.
    around = np.where(abdomen < -900, -850, abdomen)
    assert window_for(around) is ABDOMEN
    assert window_for(np.full((40, 60), -1000.0)) is ABDOMEN


def test_the_narrow_window_is_that_of_the_organ() -> None:
    rows, columns = np.mgrid[:256, :256] - 127.5
    radius = np.hypot(rows, columns)
    head = np.where(radius < 85, 35.0, np.where(radius < 92, 900.0, np.where(radius < 97, 20.0, -1000.0)))
    assert organ_window(head, (0.9, 0.9)) is BRAIN
    abdomen = np.where(radius < 110, 60.0, -1000.0)
    assert organ_window(abdomen, (1.5, 1.5)) is LIVER
    abdomen[np.hypot(rows - 40, columns) < 20] = 700  # a spine is no skull
    assert organ_window(abdomen, (1.5, 1.5)) is LIVER
    assert organ_window(np.where(np.hypot(rows, columns - 40) < 60, -850.0, abdomen), (1.5, 1.5)) is CHEST


def test_noise_left_and_signal_kept_tell_what_a_method_does(evaluation: Evaluation) -> None:
    rng = np.random.default_rng(3)
    full = np.full((3, 192, 192), 50.0)
    full[:, :, :64] = -100
    low = full + rng.normal(0, 20, full.shape)
    pair = DosePair("A", "a", low, full, (0.8, 0.8), (0, 1, 2))
    masks = tissue_masks(full)

    def halved(hu: np.ndarray, noise_hu: float) -> np.ndarray:
        return 20 + 0.5 * (hu - 20)

    values = local_response(Method("halved", halved), pair, halved(low, 0), masks)
    assert values["signal kept, 20 HU, 4 mm"] == pytest.approx(0.5, abs=1e-3)
    halfway = 0.5 * (low + full)
    values = local_response(Method("halfway", lambda hu, noise_hu: hu), pair, halfway, masks)
    for name in (NOISE_LEFT_MEDIAN, NOISE_LEFT_P90, noise_left_name("soft"), noise_left_name("fat")):
        assert values[name] == pytest.approx(0.5, abs=1e-6), name
    assert math.isnan(values[noise_left_name("bone")])
    rows = {row.method: row.values for row in evaluation.patients if row.patient == "P"}
    assert rows["input"][NOISE_LEFT_MEDIAN] == pytest.approx(1)
    assert rows["median"][NOISE_LEFT_MEDIAN] < 0.5


def test_the_enlarged_part_lies_within_the_slice_and_shows_structure() -> None:
    truth = make_phantom(1, SIZE).truth[0]
    rows, columns = detail(truth, ABDOMEN)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (SIZE // 4, SIZE // 4)
    assert rows.start >= 0 <= columns.start
    assert rows.stop <= SIZE >= columns.stop
    assert np.clip(truth[rows, columns], ABDOMEN.low, ABDOMEN.high).std() > 10
    soft = tissue_masks(truth[None])["soft"][0]
    of_tissue = detail(truth, ABDOMEN, soft)
    assert soft[of_tissue].mean() > soft[rows, columns].mean()
    empty = detail(np.full((40, 60), -1000.0), ABDOMEN)
    assert (empty[0].stop <= 40, empty[1].stop <= 60) == (True, True)


def test_one_pair_prints_a_table_and_json(pairs_csv: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = [str(pairs_csv.parent / f"v_{dose}.nrrd") for dose in ("low", "full")]
    assert main(["evaluate", *pair, "--every", "2", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["input"]
    assert sum(line.startswith("PSNR, dB, ") and "data range" in line for line in lines) == len(WINDOWS)
    assert main(["evaluate", *pair, "--model", str(tiny_model), "--json", "--every", "2", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["patients"]["v_full.nrrd"]) == {"input", "tiny"}
    assert float(found["patients"]["v_full.nrrd"]["input"]["RMSE, HU"]) == pytest.approx(40, rel=0.05)


def test_of_a_volume_that_may_be_denoised_already_no_noise_left_is_told(
    pairs_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *(str(pairs_csv.parent / f"v_{dose}.nrrd") for dose in ("low", "full")), "--every", "2"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("noise left", "signal kept"))]
    assert len(told) == 2 + 4 + len(LESIONS)
    assert all(line.endswith(" -") for line in told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--pairs", "{csv}", "--out", "{out}", "--baselines", "wiener"], "There is no baseline 'wiener'"),
        (["--pairs", "{csv}", "--out", "{out}", "--against", "nobody"], "Nothing called 'nobody' is judged here"),
        (["--pairs", "{csv}", "--out", "{out}", "--split", "train"], "has no patient in the split 'train'"),
        (["--pairs", "{csv}", "--out", "{out}", "--models", "default,default"], "give their files different names"),
        (["--pairs", "{csv}", "--out", "{report}"], "pass --overwrite"),
        (["{csv}", "{csv}"], "is not a volume file"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], told: str, pairs_csv: Path, report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"csv": pairs_csv, "out": tmp_path / "out", "report": report.parent}
    assert main(["evaluate", "--device", "cpu", *(argument.format(**places) for argument in arguments)]) == 1
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_report_is_made_from_the_command_line(
    pairs_csv: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--pairs", str(pairs_csv), "--models", str(tiny_model), "--out", str(tmp_path / "out")]
    assert main([*command, "--every", "2", "--phantom-scans", "0", "--device", "cpu", "--quiet"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "report.html")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "slices.csv", "patients.csv", "summary.json"}


@pytest.mark.parametrize("name", ["report.html", "slices.csv", "patients.csv", "summary.json"])
def test_no_file_of_the_user_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=f"{name} exists"):
        check_report_folder(tmp_path, overwrite=False)
    check_report_folder(tmp_path, overwrite=True)


def test_a_folder_that_cannot_be_written_in_is_found_before_the_computation() -> None:
    with closed_folder() as folder:
        assert "is not writable" in as_nobody(lambda: check_report_folder(folder, overwrite=False))


def test_a_pair_of_different_sizes_is_refused() -> None:
    with pytest.raises(InputError, match="differs in size"):
        DosePair("P", "p", np.zeros((1, 4, 4)), np.zeros((1, 4, 5)), (1, 1), (0,))


def test_the_table_of_one_pair_aligns(evaluation: Evaluation) -> None:
    assert len({len(line) for line in text_table(evaluation).splitlines()}) == 1
