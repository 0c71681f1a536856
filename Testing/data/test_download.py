"""The public data set: selection against the real index, and a download that resumes and verifies, through a fetcher of ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.data import imaging_data_commons
from LDCTDenoiseLib.data.imaging_data_commons import FULL, LAYOUT, LOW, Series, download, list_series, select
from LDCTDenoiseLib.data.ldctbench_split import LDCTBENCH_SPLIT
from LDCTDenoiseLib.data.splits import ldctbench_split
from LDCTDenoiseLib.errors import InputError
from Testing.conftest import REPOSITORY
from Testing.dicom.dicom_files import make_slice, save

pytest.importorskip("idc_index_data", reason="the real index comes with the train extra")


@pytest.fixture(scope="module")
def index() -> list[Series]:
    return list_series()


def test_the_real_index_yields_the_patients_and_pairs(index: list[Series]) -> None:
    assert len(index) == 200
    assert len({one.patient for one in index}) == 100
    assert sum(one.slices for one in index if one.description == LOW) == 25_472
    for low, full in zip(index[::2], index[1::2], strict=True):
        assert (low.patient, low.study, low.slices) == (full.patient, full.study, full.slices)
        assert (low.description, full.description) == (LOW, FULL)
    assert sum(one.size for one in index) == pytest.approx(26.8e9, rel=0.01)


def test_selection_by_anatomy_and_patient(index: list[Series]) -> None:
    assert {one.patient[0] for one in select(index, anatomies=["abdomen"])} == {"L"}
    assert len(select(index, anatomies=["chest"])) == 100
    assert [one.patient for one in select(index, patients=["L006"])] == ["L006", "L006"]
    with pytest.raises(InputError, match="no patient L001"):
        select(index, patients=["L001"])


def test_patients_that_documents_and_messages_name_are_in_the_index(index: list[Series]) -> None:
    """And the sizes that the page on training tells."""
    pages = [
        REPOSITORY / "README.md",
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "LDCTDenoiseLib" / "commands").glob("*.py"),
    ]
    pages.append(Path(imaging_data_commons.__file__))
    named = {name for page in pages for name in re.findall(r"\b[LC]\d{3}\b", page.read_text(encoding="utf-8"))}
    assert len(named) > 3
    assert named <= {one.patient for one in index}

    page = (REPOSITORY / "docs" / "train.md").read_text(encoding="utf-8")
    (patients,) = re.findall(r"data download --patients (\S+) --out", page)
    for chosen, told in (
        (select(index, patients=patients.split(",")), r"the size \(([\d.]+) GB\)"),
        (select(index), r"all 100 \((\d+) GB\)"),
        (select(index, anatomies=["abdomen"]), r"half of them \((\d+) GB\)"),
    ):
        (gigabytes,) = re.findall(told, page)
        assert float(gigabytes) == pytest.approx(sum(one.size for one in chosen) / 1e9, rel=0.2)
    assert sorted(ldctbench_split(patients.split(",")).values()) == ["test", "train", "validate"]


def test_the_benchmarks_split_covers_every_patient_of_the_index_once(index: list[Series]) -> None:
    assert {split: len(names) for split, names in LDCTBENCH_SPLIT.items()} == {"train": 70, "validate": 20, "test": 10}
    patients = {one.patient for one in index}
    assert set(ldctbench_split(patients)) == patients
    assert sum(len(names) for names in LDCTBENCH_SPLIT.values()) == 100


class Commons:
    """Stands for the bucket: writes the series' files; ``broken`` cuts the last file of as many series."""

    def __init__(self, broken: int = 0) -> None:
        self.broken = broken
        self.fetched: list[str] = []

    def __call__(self, series: Sequence[Series], out: Path) -> None:
        for one in series:
            self.fetched.append(one.uid)
            for path, content in self.files(one).items():
                target = one.folder(out) / path
                if not target.exists():  # as s5cmd sync does
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content if not self.broken else content[:100])
            self.broken = max(0, self.broken - 1)

    @staticmethod
    def files(series: Series) -> dict[str, bytes]:
        return CONTENTS[series.uid]


CONTENTS: dict[str, dict[str, bytes]] = {}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Series]:
    """Two patients' series of two slices, with their true sizes."""
    folder = tmp_path_factory.mktemp("bucket")
    series = []
    for patient in ("C002", "L067"):
        for number, description in enumerate((LOW, FULL)):
            uid = f"1.2.{ord(patient[0])}.{number}"
            tags = {"SeriesInstanceUID": uid, "PatientID": patient, "SeriesDescription": description}
            files = [save(make_slice(z, tags), folder / uid / f"{z}.dcm") for z in range(2)]
            CONTENTS[uid] = {file.name: file.read_bytes() for file in files}
            size = sum(len(content) for content in CONTENTS[uid].values())
            series.append(Series(patient, "1.2.3", uid, description, 2, size))
    return series


def test_a_download_brings_all_series_once(small: list[Series], tmp_path: Path) -> None:
    commons = Commons()
    download(small, tmp_path, fetch=commons, progress=False)
    assert sorted(commons.fetched) == sorted(one.uid for one in small)
    download(small, tmp_path, fetch=commons, progress=False)
    assert len(commons.fetched) == 4


def test_an_interrupted_download_goes_on(small: list[Series], tmp_path: Path) -> None:
    class Cut(Commons):
        def __call__(self, series: Sequence[Series], out: Path) -> None:
            if series[0].patient == "L067":
                super().__call__(series[:1], out)
                raise ConnectionError("the line is dead")
            super().__call__(series, out)

    with pytest.raises(InputError, match=r"download of L067 failed.*line is dead.*goes on from here"):
        download(small, tmp_path, fetch=Cut(), progress=False)
    commons = Commons()
    download(small, tmp_path, fetch=commons, progress=False)
    assert commons.fetched == [small[3].uid]


def test_damaged_files_are_found_and_brought_again(small: list[Series], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 of 4 series did not arrive whole, the first of patient C002"):
        download(small, tmp_path, fetch=Commons(broken=1), progress=False)
    commons = Commons()
    download(small, tmp_path, fetch=commons, progress=False)
    assert commons.fetched == [small[0].uid]
    # The right size and the wrong content.
    file = small[2].folder(tmp_path) / "0.dcm"
    file.write_bytes(bytes(file.stat().st_size))
    download(small, tmp_path, fetch=commons, progress=False)
    assert file.read_bytes() == CONTENTS[small[2].uid]["0.dcm"]


def test_too_little_space_is_told_before_anything_is_fetched(small: list[Series], tmp_path: Path) -> None:
    huge = [Series(one.patient, one.study, one.uid, one.description, one.slices, 10**18) for one in small]
    commons = Commons()
    with pytest.raises(InputError, match=r"free and 4000000000.0 GB are needed"):
        download(huge, tmp_path, fetch=commons, progress=False)
    assert commons.fetched == []


def test_the_command_shows_the_size_and_asks_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    monkeypatch.setattr(imaging_data_commons, "fetch_from_commons", lambda series, out: fetched.extend(s.uid for s in series))
    assert main(["data", "download", "--anatomy", "abdomen", "--out", str(tmp_path / "data")]) == 1
    captured = capsys.readouterr()
    assert re.search(r"50 patients, 100 series, 16318 slices, \d+\.\d GB; to download: \d+\.\d GB", captured.out)
    assert "CC BY 4.0" in captured.out
    assert "Nothing was downloaded" in captured.err
    assert fetched == []
    assert not (tmp_path / "data").exists()


def test_the_real_fetcher_asks_idc_index_for_just_these_series(
    small: list[Series], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idc_index = pytest.importorskip("idc_index")
    asked: dict[str, object] = {}

    class Client:
        @classmethod
        def client(cls) -> Client:
            return cls()

        def download_from_selection(self, **settings: object) -> None:
            asked.update(settings)

    import inspect

    known = inspect.signature(idc_index.IDCClient.download_from_selection).parameters
    monkeypatch.setattr(idc_index, "IDCClient", Client)
    imaging_data_commons.fetch_from_commons(small[:2], tmp_path)
    assert asked["seriesInstanceUID"] == [small[0].uid, small[1].uid]
    assert asked["dirTemplate"] == LAYOUT
    assert set(asked) <= set(known)
