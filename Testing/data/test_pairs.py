"""Low/normal-dose pairs on disk: the public layouts, what is left out and why, and the CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.data.dose_roles import Dose, dose_told_by
from LDCTDenoiseLib.data.find_pairs import FoundPairs, find_pairs
from LDCTDenoiseLib.data.pairs_csv import Pair, Source, read_pairs, write_pairs
from LDCTDenoiseLib.data.read_pair import read_pair
from LDCTDenoiseLib.data.splits import ldctbench_split, named_split, random_split
from LDCTDenoiseLib.errors import InputError
from Testing.dicom.dicom_files import SERIES, make_slice, save, stored_values

LOW_DOSE, FULL_DOSE = 7, 0
"""Added to the stored values, so that a test can tell the doses."""


def write_series(
    folder: Path,
    numbers: list[int],
    dose: int,
    *,
    uid: int,
    name: str = "{}.dcm",
    patient: str = "",
    description: str = "",
    kernel: str = "B30f",
    thickness: float = 3.0,
) -> None:
    """A series whose file names run against the order of its slices."""
    for place, number in enumerate(numbers):
        tags = {
            "PatientID": patient,
            "SeriesDescription": description,
            "ConvolutionKernel": kernel,
            "SliceThickness": thickness,
            "SeriesInstanceUID": f"{SERIES}.{uid}",
            "SOPInstanceUID": f"{SERIES}.{uid}.{number}",
        }
        save(make_slice(number, tags, stored_values(number) + np.uint16(dose)), folder / name.format(len(numbers) - place))


def write_idc(root: Path, patient: str, numbers: list[int], dose: int, uid: int, **settings: object) -> None:
    description = "Low Dose Images" if dose else "Full Dose Images"
    folder = root / "ldct_and_projection_data" / patient / "1.2.3" / f"CT_{SERIES}.{uid}"
    write_series(folder, numbers, dose, uid=uid, patient=patient, description=description, **settings)  # type: ignore[arg-type]


def write_nbia(root: Path, patient: str, numbers: list[int], dose: int, uid: int) -> None:
    kind = "Low" if dose else "Full"
    folder = root / "LDCT-and-Projection-data" / patient / "12-23-2021-NA-NA-1" / f"1.000000-{kind} Dose Images-{uid}"
    write_series(folder, numbers, dose, uid=uid, name="1-{:03}.dcm", patient=patient, description=f"{kind} Dose Images")


def write_aapm(root: Path, patient: str, numbers: list[int], dose: int, uid: int) -> None:
    kind, letters = ("quarter", "QD") if dose else ("full", "FD")
    name = f"{patient}_{letters}_1_1.CT.{{:04}}.IMA"
    write_series(root / patient / f"{kind}_1mm", numbers, dose, uid=uid, name=name, patient="Anonymous", description="ABD")


def write_aapm_new(root: Path, patient: str, numbers: list[int], dose: int, uid: int) -> None:
    kind = "quarter" if dose else "full"
    folder = root / "Training_Image_Data" / "1mm B30" / f"{kind}_1mm" / patient
    write_series(folder, numbers, dose, uid=uid, name="{}.IMA", patient=patient, description="ABD")


def write_plain(root: Path, patient: str, numbers: list[int], dose: int, uid: int) -> None:
    write_series(root / ("low" if dose else "full"), numbers, dose, uid=uid, name=f"{uid}-{{}}.dcm", patient=patient)


LAYOUTS = [write_idc, write_nbia, write_aapm, write_aapm_new, write_plain]


def check_pair_slices(found: FoundPairs, index: int, expected: list[int]) -> None:
    """The pair's slices are those expected, and each lies beside its own other dose."""
    pair = found.pairs[index]
    assert pair.slices == len(expected)
    volumes = read_pair(Pair(pair.patient, pair.low, pair.full, "train"))
    assert volumes.low is not None
    np.testing.assert_array_equal(volumes.full, [stored_values(number).astype(int) - 1024 for number in expected])
    np.testing.assert_array_equal(volumes.low - volumes.full, LOW_DOSE)


@pytest.mark.parametrize("write", LAYOUTS)
def test_every_layout_is_paired_by_patient_and_slice_position(tmp_path: Path, write: object) -> None:
    for number, patient in enumerate(("L067", "C002")):
        write(tmp_path, patient, [0, 1, 2, 3], FULL_DOSE, 10 * number + 1)  # type: ignore[operator]
        write(tmp_path, patient, [3, 1, 0, 2], LOW_DOSE, 10 * number + 2)  # type: ignore[operator]
    found = find_pairs(tmp_path)
    assert [pair.patient for pair in found.pairs] == ["C002", "L067"]
    assert found.left_out == []
    for index in range(2):
        check_pair_slices(found, index, [0, 1, 2, 3])


@pytest.mark.parametrize("write", LAYOUTS)
def test_missing_slices_are_left_out_and_told(tmp_path: Path, write: object) -> None:
    write(tmp_path, "L067", [0, 1, 2, 4, 5, 6], FULL_DOSE, 1)  # type: ignore[operator]
    write(tmp_path, "L067", [1, 2, 3, 4, 6, 7, 8], LOW_DOSE, 2)  # type: ignore[operator]
    found = find_pairs(tmp_path)
    check_pair_slices(found, 0, [1, 2, 4, 6])
    assert len(found.left_out) == 2
    assert "2 slices without a partner" in found.left_out[0]
    assert "3 slices without a partner" in found.left_out[1]


def test_two_kernels_in_one_study_are_paired_each_with_its_own(tmp_path: Path) -> None:
    for number, kernel in enumerate(("B30f", "D45f")):
        write_idc(tmp_path, "L067", [0, 1, 2], FULL_DOSE, 10 + number, kernel=kernel)
        write_idc(tmp_path, "L067", [0, 1, 2], LOW_DOSE, 20 + number, kernel=kernel)
    write_idc(tmp_path, "L067", [0, 1], FULL_DOSE, 30, kernel="I70f")
    found = find_pairs(tmp_path)
    series = {(pair.full.path.name[-2:], pair.low.path.name[-2:]) for pair in found.pairs}
    assert series == {("10", "20"), ("11", "21")}
    assert len(found.left_out) == 1
    assert "has no low dose of I70f" in found.left_out[0]


def test_several_series_in_one_folder_are_told_apart_by_their_uid(tmp_path: Path) -> None:
    for number, kernel in enumerate(("B30f", "D45f")):
        for dose, kind in ((FULL_DOSE, "Full"), (LOW_DOSE, "Low")):
            uid = 10 * number + dose + 1
            name = f"{uid}-{{}}.dcm"
            write_series(tmp_path, [0, 1], dose, uid=uid, name=name, patient="p", description=f"{kind} Dose", kernel=kernel)
    found = find_pairs(tmp_path)
    assert len(found.pairs) == 2
    path = tmp_path / "pairs.csv"
    write_pairs([Pair(pair.patient, pair.low, pair.full, "train") for pair in found.pairs], path)
    for pair in read_pairs(path):
        assert pair.full.series is not None
        volumes = read_pair(pair)
        assert volumes.low is not None
        np.testing.assert_array_equal(volumes.low - volumes.full, LOW_DOSE)


def test_thicknesses_are_not_mixed(tmp_path: Path) -> None:
    write_idc(tmp_path, "L067", [0, 1, 2], FULL_DOSE, 1, thickness=1.0)
    write_idc(tmp_path, "L067", [0, 1, 2], LOW_DOSE, 2, thickness=3.0)
    with pytest.raises(InputError, match=r"no low/normal-dose pair.*no low dose of B30f 1 mm"):
        find_pairs(tmp_path)


def test_ambiguous_series_are_left_out_and_named(tmp_path: Path) -> None:
    write_idc(tmp_path, "C002", [0, 1], FULL_DOSE, 1)
    write_idc(tmp_path, "C002", [0, 1], LOW_DOSE, 2)
    write_idc(tmp_path, "L067", [0, 1], FULL_DOSE, 3)
    write_idc(tmp_path, "L067", [0, 1], LOW_DOSE, 4)
    write_idc(tmp_path, "L067", [0, 1], LOW_DOSE, 5)
    found = find_pairs(tmp_path)
    assert [pair.patient for pair in found.pairs] == ["C002"]
    (sentence,) = found.left_out
    assert "may go with several of patient L067" in sentence


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"Rows": 4}, "6x8 and 4x8 pixels"),
        ({"PixelSpacing": [0.5, 0.5]}, "pixels measure 0.7 x 0.8 mm and 0.5 x 0.5 mm"),
        ({"ImagePositionPatient": [0, 0, 500]}, "none of its slices lies at the same place"),
        ({"ImagePositionPatient": [-12.0, 30.25, 0]}, "none of its slices lies at the same place"),
    ],
)
def test_volumes_that_do_not_fit_are_left_out_with_the_reason(tmp_path: Path, tags: dict[str, object], reason: str) -> None:
    write_idc(tmp_path, "C002", [0, 1], FULL_DOSE, 1)
    write_idc(tmp_path, "C002", [0, 1], LOW_DOSE, 2)
    write_idc(tmp_path, "L067", [0], FULL_DOSE, 3)
    stored = stored_values(0)[:4] if "Rows" in tags else stored_values(0)
    tags = {"PatientID": "L067", "SeriesDescription": "Low Dose Images", "SeriesInstanceUID": f"{SERIES}.4", **tags}
    save(make_slice(0, tags, stored), tmp_path / "x" / "1.dcm")
    found = find_pairs(tmp_path)
    assert [pair.patient for pair in found.pairs] == ["C002"]
    assert reason in found.left_out[0]


def test_other_files_are_left_out_with_the_reason(tmp_path: Path) -> None:
    write_idc(tmp_path, "L067", [0, 1], FULL_DOSE, 1)
    write_idc(tmp_path, "L067", [0, 1], LOW_DOSE, 2)
    write_series(tmp_path / "other", [0, 1], 0, uid=3, patient="L096", description="Abdomen")
    write_series(tmp_path / "full", [0, 1], 0, uid=4, name="x{}.dcm")
    (tmp_path / "notes.txt").write_text("hello")
    sitk.WriteImage(sitk.Image([4, 4, 2], sitk.sitkInt16), str(tmp_path / "scan.nrrd"))
    told = "\n".join(find_pairs(tmp_path).left_out)
    assert "1 that is not DICOM" in told
    assert "neither its description nor its folders tell its dose" in told
    assert "it has no PatientID" in told
    assert "scan.nrrd: neither its name nor its folders" in told


def write_volume_file(path: Path, first: int, count: int, dose: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.stack([stored_values(number) for number in range(first, first + count)]).astype(np.int16) + np.int16(dose - 1024)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.8, 0.7, 2.5))
    image.SetOrigin((-12.5, 30.25, 2.5 * first))
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize(("low", "full"), [("low/anna.nrrd", "full/anna.nii.gz"), ("anna_LD.nrrd", "anna_FD.mha")])
def test_volume_files_are_paired_by_name_and_position(tmp_path: Path, low: str, full: str) -> None:
    write_volume_file(tmp_path / low, 2, 4, LOW_DOSE)
    write_volume_file(tmp_path / full, 0, 4, FULL_DOSE)
    (pair,) = find_pairs(tmp_path).pairs
    assert (pair.patient, pair.slices) == ("anna", 2)
    volumes = read_pair(Pair("anna", pair.low, pair.full, "train"))
    assert volumes.low is not None
    np.testing.assert_array_equal(volumes.full[0], stored_values(2).astype(int) - 1024)
    np.testing.assert_array_equal(volumes.low - volumes.full, LOW_DOSE)
    assert volumes.left_out == (2, 2)


def test_scans_in_a_patients_folder_are_of_one_patient(tmp_path: Path) -> None:
    for patient in ("anna", "bert"):
        for first, scan in enumerate(("arterial", "venous")):
            write_volume_file(tmp_path / "quarter_1mm" / patient / f"{scan}.nrrd", first, 4, LOW_DOSE)
            write_volume_file(tmp_path / "full_1mm" / patient / f"{scan}.nrrd", first, 4, FULL_DOSE)
    found = find_pairs(tmp_path)
    assert found.left_out == []
    assert [(pair.patient, pair.low.path.name, pair.full.path.name) for pair in found.pairs] == [
        (patient, f"{scan}.nrrd", f"{scan}.nrrd") for patient in ("anna", "bert") for scan in ("arterial", "venous")
    ]


@pytest.mark.parametrize("layout", ["{dose}/{name}.nrrd", "{name}_{dose}.nrrd", "{dose}/{name}/1.nrrd"])
def test_patients_are_named_as_the_user_named_them(tmp_path: Path, layout: str) -> None:
    names = ["J\u00e4rg", "J\u00f6rg", "L004", "P-01"]
    for name in names:
        write_volume_file(tmp_path / layout.format(dose="low", name=name), 0, 4, LOW_DOSE)
        write_volume_file(tmp_path / layout.format(dose="Full", name=name), 0, 4, FULL_DOSE)
    found = find_pairs(tmp_path)
    assert [pair.patient for pair in found.pairs] == sorted(names)
    assert found.left_out == []


def test_capitals_and_separators_make_no_other_patient(tmp_path: Path) -> None:
    write_volume_file(tmp_path / "Low Dose" / "p 1.nrrd", 0, 4, LOW_DOSE)
    write_volume_file(tmp_path / "full_dose" / "P-1.nrrd", 0, 4, FULL_DOSE)
    assert len(find_pairs(tmp_path).pairs) == 1


def test_linked_folders_are_looked_into(tmp_path: Path) -> None:
    write_idc(tmp_path / "elsewhere", "L067", [0, 1], FULL_DOSE, 1)
    write_idc(tmp_path / "elsewhere", "L067", [0, 1], LOW_DOSE, 2)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere")
    check_pair_slices(find_pairs(tmp_path / "data"), 0, [0, 1])


@pytest.mark.parametrize("text", ["8,0", "3\\3", "8.0 mm"])
def test_an_odd_slice_thickness_is_as_none(tmp_path: Path, text: str) -> None:
    for dose, uid in ((FULL_DOSE, 1), (LOW_DOSE, 2)):
        write_idc(tmp_path, "L067", [0, 1], dose, uid, thickness="123456")
    for path in tmp_path.rglob("*.dcm"):
        path.write_bytes(path.read_bytes().replace(b"123456", text.ljust(6).encode()))
    check_pair_slices(find_pairs(tmp_path), 0, [0, 1])


def test_a_space_makes_no_other_patient(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("patient,low,full,split\nP01,,a.nrrd,train\nP01 ,,b.nrrd,test\n", encoding="utf-8")
    with pytest.raises(InputError, match="Patient P01 is in two splits"):
        read_pairs(tmp_path / "pairs.csv")


def test_a_csv_may_mix_dicom_and_volume_files(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", [3, 0, 1, 2], FULL_DOSE, uid=1)
    write_volume_file(tmp_path / "low.nrrd", 1, 5, LOW_DOSE)
    (tmp_path / "pairs.csv").write_text("patient,low,full,split\nanna,low.nrrd,dicom,train\n", encoding="utf-8")
    (pair,) = read_pairs(tmp_path / "pairs.csv")
    volumes = read_pair(pair)
    assert volumes.low is not None
    assert len(volumes.full) == 3
    np.testing.assert_array_equal(volumes.low - volumes.full, LOW_DOSE)


@pytest.mark.parametrize("stored", ["low", "full"])
def test_both_doses_must_be_in_hu(tmp_path: Path, stored: str) -> None:
    for name, dose in (("low", LOW_DOSE), ("full", FULL_DOSE)):
        write_volume_file(tmp_path / f"{name}.nrrd", 0, 4, dose + 1024 * (name == stored))
    with pytest.raises(InputError, match="do not look like HU"):
        read_pair(Pair("anna", Source(tmp_path / "low.nrrd"), Source(tmp_path / "full.nrrd"), "train"))


@pytest.mark.parametrize("damaged", ["low", "full"])
def test_a_pair_with_nan_is_refused(tmp_path: Path, damaged: str) -> None:
    for name in ("low", "full"):
        write_volume_file(tmp_path / f"{name}.nrrd", 0, 4, FULL_DOSE)
    image = sitk.Cast(sitk.ReadImage(str(tmp_path / f"{damaged}.nrrd")), sitk.sitkFloat32)
    image[0, 0, 0] = float("nan")
    sitk.WriteImage(image, str(tmp_path / f"{damaged}.nrrd"))
    with pytest.raises(InputError, match="NaN or infinity in 1 voxel"):
        read_pair(Pair("anna", Source(tmp_path / "low.nrrd"), Source(tmp_path / "full.nrrd"), "train"))


@pytest.mark.parametrize(
    ("text", "dose"),
    [
        ("Low Dose Images", Dose.LOW),
        ("1.000000-Full Dose Images-92811", Dose.FULL),
        ("full_1mm", Dose.FULL),
        ("quarter_3mm", Dose.LOW),
        ("L067_QD_1_1.CT.0001.0010.IMA", Dose.LOW),
        ("ldct_and_projection_data", None),
        ("Abdomen follow-up below liver", None),
        ("low and full", None),
    ],
)
def test_the_dose_is_told_by_whole_words(text: str, dose: Dose | None) -> None:
    assert dose_told_by(text) is dose


def test_the_command_writes_the_csv_and_says_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for uid, patient in enumerate(("L067", "L033", "L107"), 1):
        write_idc(tmp_path, patient, [0, 1], FULL_DOSE, 10 * uid)
        write_idc(tmp_path, patient, [0, 1, 2], LOW_DOSE, 10 * uid + 1)
    assert main(["data", "index", str(tmp_path), "--validate", "L033", "--test", "L107"]) == 0
    told = capsys.readouterr().out
    assert "3 pairs, 6 slices; patients: 1 train, 1 validate, 1 test" in told
    assert told.count("1 slice without a partner") == 3
    pairs = read_pairs(tmp_path / "pairs.csv")
    assert {pair.patient: pair.split for pair in pairs} == {"L033": "validate", "L067": "train", "L107": "test"}
    assert all(pair.full.path.is_dir() for pair in pairs)

    assert main(["data", "index", str(tmp_path)]) == 1
    assert "pass --overwrite" in capsys.readouterr().err
    csv = tmp_path / "elsewhere" / "pairs.csv"
    csv.parent.mkdir()
    assert main(["data", "index", str(tmp_path), "--split", "ldctbench", "--out", str(csv)]) == 0
    assert "Patient L067 is not in the benchmark's split" in capsys.readouterr().out
    assert {pair.patient: pair.split for pair in read_pairs(csv)} == {"L033": "validate", "L107": "test"}
    assert all(pair.full.path.is_dir() for pair in read_pairs(csv))


def test_a_folder_without_pairs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "index", str(tmp_path)]) == 1
    assert "holds no low/normal-dose pair" in capsys.readouterr().err
    assert main(["data", "index", str(tmp_path / "missing")]) == 1
    assert "missing does not exist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_splits_are_of_patients_and_repeatable() -> None:
    names = [f"p{number}" for number in range(20)]
    split = random_split(names)
    assert split == random_split(names[::-1])
    assert [list(split.values()).count(name) for name in ("train", "validate", "test")] == [14, 4, 2]
    assert set(random_split(["one"]).values()) == {"train"}
    assert ldctbench_split(["L004", "L014", "L006", "L067"]) == {"L004": "train", "L014": "validate", "L006": "test"}
    assert named_split(["a", "b", "c"], ["a"], ["b"]) == {"a": "validate", "b": "test", "c": "train"}
    with pytest.raises(InputError, match="no patient x"):
        named_split(["a"], ["x"], [])


def test_a_csv_of_pairs_survives_writing_and_reading(tmp_path: Path) -> None:
    pairs = [
        Pair("a", Source(tmp_path / "a b" / "low", "1.2.3"), Source(tmp_path / "full#1.nrrd"), "train"),
        Pair("b", None, Source(tmp_path.parent / "b.nrrd"), "test"),
    ]
    path = tmp_path / "pairs.csv"
    write_pairs(pairs, path)
    back = read_pairs(path)
    assert [(pair.patient, pair.low and pair.low.series) for pair in back] == [("a", "1.2.3"), ("b", None)]
    assert [pair.split for pair in back] == ["train", "test"]
    assert [pair.full.path.resolve() for pair in back] == [pair.full.path.resolve() for pair in pairs]


def test_spaces_around_cells_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("patient, low, full, split\nP01, , a.nrrd, test\n", encoding="utf-8")
    assert read_pairs(path) == [Pair("P01", None, Source(tmp_path / "a.nrrd"), "test")]


@pytest.mark.parametrize("columns", ["patient,low,full,split", "low,full,split,patient"])
def test_a_short_row_is_told_by_its_line(tmp_path: Path, columns: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(f"{columns}\n\n\na,b,test\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"pairs\.csv, line 4: patient and full must be given"):
        read_pairs(path)


def test_a_csv_in_a_linked_folder_names_the_volumes(tmp_path: Path) -> None:
    (tmp_path / "far" / "away" / "out").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "far" / "away" / "out")
    volumes = [tmp_path / "a.nrrd", tmp_path / "out" / "b.nrrd"]
    for volume in volumes:
        volume.touch()
    write_pairs([Pair(one.stem, None, Source(one), "train") for one in volumes], tmp_path / "out" / "pairs.csv")
    assert all(pair.full.path.exists() for pair in read_pairs(tmp_path / "out" / "pairs.csv"))
    assert "b,,b.nrrd,train" in (tmp_path / "out" / "pairs.csv").read_text(encoding="utf-8")
