"""Publishing to an object store: nothing final before all is there, and what a crash leaves is removed by the next try."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from LDCTDenoiseLib.errors import InputError, MissingExtraError, OutputError
from LDCTDenoiseLib.stores.address import Address, place
from LDCTDenoiseLib.stores.objects import ObjectFolder, StoredFiles

INCOMING = ".records/.incoming"


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectFolder]:
    """An empty folder of a store."""
    url = f"memory://{tmp_path.name}" if request.param == "memory" else (tmp_path / "store").as_uri()
    folder = ObjectFolder(place(url))  # type: ignore[arg-type]
    yield folder
    folder.remove(folder.states())


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Three files to publish."""
    paths = {name: tmp_path / "local" / name for name in ("1.dcm", "2.dcm", "3.dcm")}
    (tmp_path / "local").mkdir()
    for name, path in paths.items():
        path.write_text(f"new {name}")
    return paths


def texts(store: ObjectFolder) -> dict[str, str]:
    return {name: (store.read(name) or b"").decode() for name in store.states()}


def test_the_old_output_is_whole_until_all_of_the_new_one_is_there(store: ObjectFolder, files: dict[str, Path]) -> None:
    old = {"out/1.dcm": "old", "out/4.dcm": "old"}
    for name, text in old.items():
        store.write(name, text.encode())
    seen: list[dict[str, str]] = []
    told = store.publish(files, "out", INCOMING, lambda: seen.append(texts(store)), ["1.dcm", "4.dcm"])
    (before,) = seen
    assert {name: text for name, text in before.items() if not name.startswith(INCOMING)} == old
    assert sorted(text for name, text in before.items() if name.startswith(INCOMING)) == [f"new {name}" for name in files]
    assert texts(store) == {f"out/{name}": f"new {name}" for name in files}, "temporary or old objects are left"
    assert told == store.states("out")


def test_what_is_no_part_of_the_old_output_is_not_removed(store: ObjectFolder, files: dict[str, Path]) -> None:
    before = {"out/1.dcm": "old", "out/notes.txt": "mine"}
    for name, text in before.items():
        store.write(name, text.encode())
    with pytest.raises(OutputError, match=r"out/notes.txt lies in the output's place, and no batch made it"):
        store.publish(files, "out", INCOMING, lambda: pytest.fail("begun"), ["1.dcm"])
    assert texts(store) == before


def test_an_output_that_is_one_file_is_the_object_itself(store: ObjectFolder, files: dict[str, Path]) -> None:
    store.publish({"": files["1.dcm"]}, "deep/out.nrrd", INCOMING, lambda: None)
    assert texts(store) == {"deep/out.nrrd": "new 1.dcm"}
    assert store.states("deep/out.nrrd").keys() == {""}


def test_what_is_put_into_a_folder_of_this_machine_is_on_the_disk(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    sync = os.fsync

    def fsync(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    ObjectFolder(Address((tmp_path / "store").as_uri())).publish(files, "out", INCOMING, lambda: None)
    ObjectFolder(Address((tmp_path / "store").as_uri())).write("records/out.json", b"done")
    put = [tmp_path / "store" / name for name in ("out", "out/1.dcm", "out/2.dcm", "out/3.dcm", "records", "records/out.json")]
    assert {path.stat().st_ino for path in [tmp_path / "store", *put]} <= synced


class Killed(BaseException):
    """Ends a try as SIGKILL does: nothing is cleaned up."""


@pytest.mark.parametrize("step", ["put_file", "begin", "move"])
def test_a_try_that_is_killed_leaves_nothing_that_the_next_does_not_remove(
    store: ObjectFolder, files: dict[str, Path], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = store._opened[0]
    moves = "mv" if "file" in opened.protocol else "cp_file"
    name = moves if step == "move" else step
    calls: list[object] = []

    def begin() -> None:
        if step == "begin":
            raise Killed

    with monkeypatch.context() as patch:
        if step != "begin":
            whole = getattr(opened, name)

            def die(*arguments: object, **options: object) -> None:
                calls.append(arguments)
                if len(calls) == 2:
                    patch.setattr(store.__class__, "_clear", lambda *_: None)
                    raise Killed
                whole(*arguments, **options)

            patch.setattr(opened, name, die)
        else:
            patch.setattr(store.__class__, "remove", lambda *_: None)
        with pytest.raises(Killed):
            store.publish(files, "out", INCOMING, begin)
    assert any(name.startswith(INCOMING) for name in store.states())
    assert step == "move" or not store.states("out")
    store.publish(files, "out", INCOMING, lambda: None)
    assert texts(store) == {f"out/{name}": f"new {name}" for name in files}


def test_half_an_upload_is_told_and_touches_nothing(
    store: ObjectFolder, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("out/1.dcm", b"old")
    opened = store._opened[0]

    def half(local: str, remote: str) -> None:
        opened.pipe_file(remote, Path(local).read_bytes()[:3])

    monkeypatch.setattr(opened, "put_file", half)
    with pytest.raises(OutputError, match="uploaded in part: 3 of 3"):
        store.publish(files, "out", INCOMING, lambda: pytest.fail("begun"))
    assert texts(store) == {"out/1.dcm": "old"}


def test_a_stored_folder_is_fetched_with_the_names_that_it_has(store: ObjectFolder, tmp_path: Path) -> None:
    for name in ("ct/a.dcm", "ct/b[1]*.dcm", "ct/deep/c.dcm", "ct2/d.dcm"):
        store.write(name, name.encode())
    whole = StoredFiles(store.address / "ct").fetch(tmp_path / "whole")
    found = {path.relative_to(whole).as_posix(): path.read_text() for path in whole.rglob("*") if path.is_file()}
    assert found == {name: f"ct/{name}" for name in ("a.dcm", "b[1]*.dcm", "deep/c.dcm")}
    flat = StoredFiles(store.address / "ct", recursive=False).fetch(tmp_path / "flat")
    assert sorted(path.name for path in flat.iterdir()) == ["a.dcm", "b[1]*.dcm"]


def test_a_header_is_fetched_with_its_voxels(store: ObjectFolder, tmp_path: Path) -> None:
    for name in ("ct/a.mhd", "ct/a.zraw", "ct/b.mhd", "ct/ab.raw"):
        store.write(name, b"1")
    fetched = StoredFiles(store.address / "ct/a.mhd").fetch(tmp_path / "in")
    assert fetched.name == "a.mhd"
    assert sorted(path.name for path in fetched.parent.iterdir()) == ["a.mhd", "a.zraw"]


def test_the_state_changes_with_the_content(store: ObjectFolder) -> None:
    store.write("ct/a.dcm", b"1")
    source = StoredFiles(store.address / "ct")
    before = source.state()
    assert source.state() == before
    store.write("ct/a.dcm", b"2")
    changed = source.state()
    store.write("ct/b.dcm", b"2")
    assert len({before, changed, source.state()}) == 3


def test_what_is_not_there_is_told(store: ObjectFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ct is not there: no object has this name"):
        StoredFiles(store.address / "ct").fetch(tmp_path)


@pytest.mark.parametrize("name", ["../evil.dcm", "a/../../evil.dcm", "a\\..\\evil.dcm", "/evil.dcm", "x" * 300])
def test_an_object_whose_name_leads_out_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ObjectFolder(place("memory://evil"))  # type: ignore[arg-type]
    monkeypatch.setattr(ObjectFolder, "states", lambda *_: {name: "1"})
    with pytest.raises(InputError, match="cannot be a file's"):
        folder.fetch([name], tmp_path / "in")
    assert not list(tmp_path.iterdir())


def test_names_that_are_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one for a file"):
        ObjectFolder(place("memory://double")).fetch(["a//b", "a/b"], tmp_path)  # type: ignore[arg-type]


def test_an_address_of_an_unknown_kind_is_told() -> None:
    with pytest.raises(InputError, match=r"nosuch:// is no address that fsspec knows"):
        ObjectFolder(place("nosuch://a/b")).check()  # type: ignore[arg-type]


def test_a_store_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_: object, **__: object) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lacks)
    with pytest.raises(MissingExtraError, match=r"pip install 'ldctdenoise\[stores\]'"):
        ObjectFolder(place("s3://a/b")).check()  # type: ignore[arg-type]


def test_a_folder_goes_to_another_process_without_its_connections(store: ObjectFolder) -> None:
    store.write("a", b"1")
    assert pickle.loads(pickle.dumps(store)).states().keys() == {"a"}
