"""``ldctdenoise batch`` from and to a store: the same outputs as on one machine, published last, done once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest

from LDCTDenoiseLib.denoising.batch import one_item, staged_item
from LDCTDenoiseLib.denoising.batch.items import find_items
from LDCTDenoiseLib.denoising.batch.records import RecordBook
from LDCTDenoiseLib.errors import OutputError
from LDCTDenoiseLib.stores.address import Address
from LDCTDenoiseLib.stores.objects import ObjectFolder
from LDCTDenoiseLib.stores.private_folder import private_folder
from Testing.conftest import REPOSITORY
from Testing.denoising.test_batch import OUTPUTS, contents, read_or_die, save_volume, write_tree
from Testing.stores.batch_run import RECORDS, Batch, local_outputs, run_batch, stored_outputs, upload

Run = Callable[..., Batch]


@pytest.fixture
def run(tiny_model: Path) -> Run:
    return partial(run_batch, tiny_model)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectFolder:
    """A folder of an empty store; temporary folders are in the test's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    fsspec.filesystem("memory").store.clear()
    return ObjectFolder(Address("memory://archive"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "src")


def nothing_is_left(tmp_path: Path, store: ObjectFolder) -> None:
    assert not list((tmp_path / "tmp").glob(".ldctdenoise*"))
    assert not [name for name in store.states() if "/.incoming/" in name]


def test_a_store_gets_what_a_folder_gets_and_only_once(
    run: Run, store: ObjectFolder, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(tree, store, "ct")
    source = store.address / "ct"
    assert run(tree, tmp_path / "here").code == 0
    done = run(source, store.address / "done")
    assert done.code == 0, done.said
    assert done.statuses == dict.fromkeys(OUTPUTS, "denoised")
    assert stored_outputs(store, "done") == local_outputs(tmp_path / "here")
    nothing_is_left(tmp_path, store)
    before = store.states()
    monkeypatch.setattr(staged_item, "private_folder", lambda: pytest.fail("fetched again"))
    again = run(source, store.address / "done")
    assert again.statuses == dict.fromkeys(OUTPUTS, "already finished")
    assert store.states() == before


def test_a_folder_and_a_store_mix_in_a_list(run: Run, store: ObjectFolder, tree: Path, tmp_path: Path) -> None:
    upload(tree, store, "ct")
    source = store.address / "ct"
    rows = tmp_path / "rows.csv"
    rows.write_text(f"input,output\n{source}/a.nrrd,a.nii.gz\nsrc/study/two,two\n{source}/study/one,one\n{source}/none,none\n")
    there, here = run(rows, store.address / "done"), run(rows, tmp_path / "here")
    for batch in (there, here):
        assert batch.statuses == {"a.nii.gz": "denoised", "two": "denoised", "one": "denoised", "none": "failed"}
        assert (
            batch.reason("none")
            == "memory://archive/ct/none is not there: no object has this name or lies below it; correct the address."
        )
        assert batch.code == 1
    assert stored_outputs(store, "done") == local_outputs(tmp_path / "here")
    assert set(run(rows, tmp_path / "here").statuses.values()) == {"already finished", "failed"}
    store.write("rows.csv", b"input,output\nct/a.nrrd,b.nrrd\n")
    assert run(store.address / "rows.csv", store.address / "done").statuses == {"b.nrrd": "denoised"}


def test_outputs_in_a_store_are_no_input_and_no_name_beside_is_left_out(
    store: ObjectFolder, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DST may be a path with the name of a folder in SRC, a path or address in SRC, or one that SRC lies in."""

    def found(source: Address, target: Path | Address) -> set[str]:
        return {str(item.output) for item in find_items(source, target)}

    monkeypatch.chdir(tmp_path)
    upload(tree, store, "ct")
    here = Address(tree.as_uri())
    for source, inside in ((store.address / "ct", store.address / "ct/deep"), (here, tree / "deep"), (here, here / "deep")):
        for elsewhere in (Path("deep"), Path("other/deep"), store.address, tmp_path):
            assert found(source, elsewhere) == set(OUTPUTS), elsewhere
        assert found(source, inside) == {name for name in OUTPUTS if not name.startswith("deep/")}


def test_only_what_changed_is_done_again(run: Run, store: ObjectFolder, tree: Path, tmp_path: Path) -> None:
    upload(tree, store, "ct")
    source = store.address / "ct"
    run(source, store.address / "done")
    store.write("ct/a.nrrd", (tree / "a.nrrd").read_bytes())  # the same again
    save_volume(tmp_path / "b.nii.gz", 7)
    store.write("ct/deep/er/b.nii.gz", (tmp_path / "b.nii.gz").read_bytes())
    store.remove(["done/study/one/00002.dcm"])
    store.write("done/deep/c.mha", b"mine")
    done = run(source, store.address / "done")
    assert done.statuses == {
        "a.nrrd": "already finished",
        "deep/c.mha": "failed",
        "deep/er/b.nii.gz": "denoised",
        "study/one": "denoised",
        "study/two": "already finished",
    }
    assert done.reason("deep/c.mha") == "deep/c.mha was changed since a batch made it; pass --overwrite to replace it."
    assert store.read("done/deep/c.mha") == b"mine"
    assert run(source, store.address / "done", "--overwrite").statuses["deep/c.mha"] == "denoised"


def test_what_no_batch_made_is_not_replaced(run: Run, store: ObjectFolder, tree: Path) -> None:
    upload(tree, store, "ct")
    source = store.address / "ct"
    store.write("done/a.nrrd", b"mine")
    assert "no batch made it" in run(source, store.address / "done").reason("a.nrrd")
    assert store.read("done/a.nrrd") == b"mine"


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_an_output_that_is_its_own_input_is_refused(
    run: Run, store: ObjectFolder, tree: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    upload(tree, store, "ct")
    here, linked = tree.as_uri(), (tmp_path / "linked").as_uri()
    (tmp_path / "linked").symlink_to(tree)
    before, stored = contents(tree), {name: store.read(f"ct/{name}") for name in contents(tree)}
    rows = tmp_path / "rows.csv"
    for source, target in (
        (here, here),
        (linked, here),
        (here, tree),
        ("src", linked),
        (str(store.address / "ct"), store.address / "ct"),
    ):
        rows.write_text(f"input,output\n{source}/a.nrrd,a.nrrd\n{source}/study/one,study/one\n{source}/study/two,study\n")
        done = run(rows, target, *options)
        assert set(done.statuses.values()) == {"failed"}, source
        assert all("and the input would be lost" in done.reason(output) for output in ("a.nrrd", "study/one")), source
        assert contents(tree) == before
        assert {name: store.read(f"ct/{name}") for name in stored} == stored


def test_a_file_that_came_into_an_output_while_its_run_was_killed_stays(
    run: Run, store: ObjectFolder, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(tree / "study" / "one", store, "ct/one")
    target, write = store.address / "done", RecordBook.write

    def die(self: RecordBook, output: Path, record: Any) -> None:
        if type(self) is RecordBook and record.output:  # all objects are in place
            raise OutputError("killed")
        write(self, output, record)

    with monkeypatch.context() as patch:
        patch.setattr(RecordBook, "write", die)
        assert run(store.address / "ct", target).reason("one") == "killed"
    store.write("done/one/notes.txt", b"mine")
    assert "no batch made it" in run(store.address / "ct", target).reason("one")
    refused = run(store.address / "ct", target, "--overwrite").reason("one")
    assert refused.startswith("memory://archive/done/one/notes.txt lies in the output's")
    assert store.read("done/one/notes.txt") == b"mine"
    store.remove(["done/one/notes.txt"])
    assert run(store.address / "ct", target).statuses == {"one": "denoised"}


def test_an_object_that_came_meanwhile_is_not_replaced_without_overwrite(
    run: Run, store: ObjectFolder, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, target, denoise = tmp_path / "rows.csv", store.address / "done", staged_item.denoise_item
    rows.write_text("input,output\nsrc/a.nrrd,a.nrrd\n")

    def let_it_come(*arguments: Any) -> Any:
        done = denoise(*arguments)
        store.write("done/a.nrrd", b"mine")
        return done

    monkeypatch.setattr(staged_item, "denoise_item", let_it_come)
    assert "a.nrrd was made meanwhile; pass --overwrite" in run(rows, target).reason("a.nrrd")
    assert store.read("done/a.nrrd") == b"mine"
    assert run(rows, target, "--overwrite").statuses == {"a.nrrd": "denoised"}


@pytest.mark.parametrize("is_there", [False, True])
def test_what_comes_where_a_read_crashed_is_not_ours_and_the_rest_is(
    run: Run, store: ObjectFolder, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    rows, target = tmp_path / "rows.csv", store.address / "done"
    rows.write_text("input,output\nsrc/a.nrrd,a.nrrd\n")
    if is_there:
        assert run(rows, target).code == 0
    before = store.read("done/a.nrrd")
    with monkeypatch.context() as patch:
        patch.setattr(one_item, "read_input", read_or_die)
        assert "SIGSEGV" in run(rows, target, "--blend", 0.5).reason("a.nrrd")
    assert store.read("done/a.nrrd") == before
    store.write("done/a.nrrd", b"mine")
    assert "no batch made it" in run(rows, target, "--blend", 0.5).reason("a.nrrd")
    assert store.read("done/a.nrrd") == b"mine"
    store.remove(["done/a.nrrd"])
    assert run(rows, target, "--blend", 0.5).statuses == {"a.nrrd": "denoised"}


def test_a_dry_run_writes_nothing(run: Run, store: ObjectFolder, tree: Path) -> None:
    upload(tree, store, "ct")
    source = store.address / "ct"
    before = store.states()
    assert run(source, store.address / "done", "--dry-run").statuses == dict.fromkeys(OUTPUTS, "to do")
    assert store.states() == before


def test_a_bad_input_is_told_by_its_address_and_recorded(run: Run, store: ObjectFolder, tree: Path, tmp_path: Path) -> None:
    (tree / "study" / "one" / "8.1-0.dcm").write_bytes(b"")
    (tree / "a.nrrd").write_bytes(b"NRRD0004\n")
    upload(tree, store, "ct")
    source = store.address / "ct"
    (tree / "mr").mkdir()
    store.write("ct/readme/README", b"no image")
    done = run(source, store.address / "done")
    failed = {output for output, status in done.statuses.items() if status == "failed"}
    assert failed == {"a.nrrd", "study/one", "readme"}
    assert str(tmp_path) not in done.said, "the private folder is told"
    assert done.reason("readme").startswith("memory://archive/ct/readme holds no CT slice in DICOM")
    failure = json.loads(store.read(f"done/{RECORDS}/a.nrrd.failed") or b"")
    assert failure["reason"] in done.reason("a.nrrd")
    nothing_is_left(tmp_path, store)


MOMENTS = {"uploaded": 0, "begun": 1, "first object in place": 2, "all objects in place": 3}


@pytest.mark.parametrize("moment", MOMENTS)
def test_whoever_sees_the_record_sees_a_whole_output_whenever_it_is_killed(
    run: Run, store: ObjectFolder, tree: Path, tmp_path: Path, tiny_model: Path, moment: str
) -> None:
    """The old output is replaced by one of another blend; a child process is killed on the way, the store lives on in files."""
    store = ObjectFolder(Address((tmp_path / "store").as_uri()))
    rows = tmp_path / "rows.csv"
    rows.write_text("input,output\nsrc/study/one,one\n")
    target = store.address / "done"
    assert run(rows, target).statuses == {"one": "denoised"}
    book = RecordBook(ObjectFolder(target))
    old, old_record = stored_outputs(store, "done"), book.read(Path("one"))
    arguments = ["batch", str(rows), str(target), "--model", str(tiny_model), "--device", "cpu", "--blend", "0.5"]
    code = (
        f"from {__name__} import die_at; from LDCTDenoiseLib.commands.command_line import main; "
        f"die_at({MOMENTS[moment]}); main({arguments!r})"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=here_is(tmp_path))
    assert killed.returncode == 9, f"it was not killed there: {killed.stderr}"
    record = book.read(Path("one"))
    if moment == "uploaded":
        assert record == old_record
        assert stored_outputs(store, "done") == old
    else:
        assert record is not None
        assert not record.output, "a record tells of an output that is not whole"
    expected = run(rows, tmp_path / "here", "--blend", 0.5)
    assert expected.code == 0
    assert run(rows, target, "--blend", 0.5).statuses == {"one": "denoised"}
    assert stored_outputs(store, "done") == local_outputs(tmp_path / "here")
    nothing_is_left(tmp_path, store)
    assert run(rows, target, "--blend", 0.5).statuses == {"one": "already finished"}


def here_is(tmp_path: Path) -> dict[str, str]:
    """A child's environment with the test's temporary folder and this code."""
    return os.environ | {"TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(REPOSITORY)}


def die_at(moment: int) -> None:
    """Let this process end without any clean-up at a moment of the publishing."""
    write, move, calls = RecordBook.write, ObjectFolder._move, {"write": 0, "move": 0}

    def die_in_write(self: RecordBook, output: Path, record: Any) -> None:
        if type(self) is RecordBook:  # of the store, and not of the private folder
            calls["write"] += 1
            if (moment, calls["write"]) in ((0, 1), (3, 2)):
                os._exit(9)
        write(self, output, record)
        if type(self) is RecordBook and (moment, calls["write"]) == (1, 1):
            os._exit(9)

    def die_in_move(self: ObjectFolder, one: str, other: str) -> None:
        move(self, one, other)
        if moment == 2:
            os._exit(9)

    RecordBook.write = die_in_write  # type: ignore[method-assign]
    ObjectFolder._move = die_in_move  # type: ignore[method-assign]


def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    child = os.fork()
    if child == 0:
        with private_folder() as folder:
            (folder / "patient.dcm").write_bytes(b"1")
            os._exit(0)
    os.waitpid(child, 0)
    assert list(tmp_path.rglob("patient.dcm"))
    with private_folder() as folder:
        assert folder.stat().st_mode & 0o077 == 0 or folder.parent.stat().st_mode & 0o077 == 0
        assert not list(tmp_path.rglob("patient.dcm"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        ("https://pacs/dicom-web", "done", "name its studies or series in a CSV"),
        ("memory://archive/ct", "https://pacs/dicom-web", "cannot keep a batch's records"),
        ("memory://archive/ct", "memory://archive/ct", "Input and output are the same folder"),
        ("memory://archive/nothing", "memory://archive/done", "holds no CT series and no volume file"),
        ("nosuch://archive/ct", "done", "nosuch:// is no address that fsspec knows"),
    ],
)
def test_what_cannot_be_is_told_at_once(
    run: Run, store: ObjectFolder, tmp_path: Path, source: str, target: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.write("ct/a.nrrd", b"1")
    done = run(source, target)
    assert done.code == 1
    assert sentence in done.said


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("https://pacs/dicom-web/studies/1.2/rendered,a", "is no DICOMweb address"),
        ("https://pacs/dicom-web,a", "is a whole DICOMweb server"),
        ("a.nrrd,s3://bucket/a", "is no DICOMweb server"),
        ("a.nrrd,https://pacs/dicom-web/studies/1.2", "images keep their study"),
        ("https://me:SECRET@pacs/studies/1.2,a", "holds a password or a token"),
    ],
)
def test_a_row_with_a_bad_address_is_told_with_its_line(run: Run, tmp_path: Path, row: str, sentence: str) -> None:
    (tmp_path / "rows.csv").write_text(f"input,output\n{row}\n")
    done = run(tmp_path / "rows.csv", tmp_path / "done")
    assert done.code == 1
    assert "Line 2 of rows.csv: " in done.said
    assert sentence in done.said
    assert "SECRET" not in done.said


def test_a_volume_for_a_dicomweb_server_is_told(run: Run, tmp_path: Path) -> None:
    save_volume(tmp_path / "a.nrrd")
    (tmp_path / "rows.csv").write_text("input,output\na.nrrd,https://pacs:8042/dicom-web\n")
    done = run(tmp_path / "rows.csv", tmp_path / "done")
    assert done.reason("pacs_8042/dicom-web/a.nrrd").startswith("a.nrrd is no DICOM")
