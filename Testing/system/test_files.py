"""Outputs are whole or absent."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from LDCTDenoiseLib.errors import Code, OutputError
from LDCTDenoiseLib.system.files import check_writable, replace_when_complete
from LDCTDenoiseLib.system.work_folder import TEMPORARY_PREFIX
from Testing.conftest import REPOSITORY
from Testing.system.unprivileged import as_nobody, closed_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_output_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "out.nrrd"
    with replace_when_complete(target, ".nrrd") as temporary:
        temporary.write_text("content")
        assert not target.exists()
        assert temporary.parent.parent == target.parent  # a rename across file systems would be a copy
        assert temporary.suffix == ".nrrd"
    assert target.read_text() == "content"
    assert names(tmp_path) == ["out.nrrd"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_output_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "out.nrrd"
    target.write_text("old")

    def write() -> None:
        with replace_when_complete(target) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        write()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["out.nrrd"]


@pytest.mark.parametrize("hard_links", [True, False])
def test_without_overwrite_a_file_that_came_meanwhile_stays(
    tmp_path: Path, hard_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(old: Path, new: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if not hard_links:
        monkeypatch.setattr(os, "link", no_links)

    def write(target: Path, meanwhile: str) -> None:
        with replace_when_complete(target, overwrite=False) as temporary:
            temporary.write_text("content")
            if meanwhile:
                target.write_text(meanwhile)

    with pytest.raises(OutputError, match=r"there.txt was made meanwhile\.") as refused:
        write(tmp_path / "there.txt", "mine")
    assert refused.value.code is Code.EXISTS
    write(tmp_path / "new.txt", "")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"there.txt": "mine", "new.txt": "content"}


def test_a_relative_output_is_written_beside_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with replace_when_complete(check_writable(Path("out.txt"), overwrite=False)) as temporary:
        temporary.write_text("content")
    assert (tmp_path / "out.txt").read_text() == "content"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file modes")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_an_output_has_the_rights_of_any_other_file(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        with replace_when_complete(tmp_path / "out.txt") as temporary:
            temporary.write_text("content")
        assert stat.S_IMODE((tmp_path / "out.txt").stat().st_mode) == mode
        assert os.umask(mask) == mask  # left as it was
    finally:
        os.umask(before)


def test_a_folder_in_the_outputs_place_is_kept_and_reported(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="out cannot be written"), replace_when_complete(tmp_path / "out"):
        pass
    assert names(tmp_path) == ["out"]


def test_a_missing_folder_is_refused_before_and_while_writing(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "out.txt"
    with pytest.raises(OutputError, match="missing does not exist; create it"):
        check_writable(target, overwrite=True)
    with pytest.raises(OutputError, match="cannot be written"), replace_when_complete(target):
        pytest.fail("reached")


def test_a_file_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="does not exist"):
        check_writable(tmp_path / "file" / "out.txt", overwrite=True)


def test_an_existing_output_is_refused_without_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    assert check_writable(target, overwrite=False) == target
    target.touch()
    with pytest.raises(OutputError, match=r"exists\."):
        check_writable(target, overwrite=False)
    assert check_writable(target, overwrite=True) == target


def test_a_folder_that_is_not_writable_is_refused_before_and_while_writing() -> None:
    with closed_folder() as folder:
        target = folder / "out.txt"

        def check() -> None:
            check_writable(target, overwrite=True)

        def write() -> None:
            with replace_when_complete(target):
                pass

        assert as_nobody(check) == f"OutputError: The folder {folder} is not writable; choose another output folder."
        assert as_nobody(write) == f"OutputError: {target} cannot be written (Permission denied); choose another output."


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from LDCTDenoiseLib.system.files import replace_when_complete
with replace_when_complete(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")


@posix
def test_what_a_killed_process_left_is_removed_by_the_next_output(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, target], cwd=REPOSITORY, check=False, timeout=60)
        (left,) = names(tmp_path)  # of two killed processes the second has removed what the first left
        assert left.startswith(TEMPORARY_PREFIX)
    with replace_when_complete(target) as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == ["out.txt"]


@posix
def test_a_temporary_file_in_use_is_no_leftover(tmp_path: Path) -> None:
    with replace_when_complete(tmp_path / "one.txt") as one:
        one.write_text("one")
        with replace_when_complete(tmp_path / "two.txt") as two:
            two.write_text("two")
    assert names(tmp_path) == ["one.txt", "two.txt"]


@posix
def test_many_threads_write_into_one_folder(tmp_path: Path) -> None:
    def write(number: int) -> None:
        with replace_when_complete(tmp_path / str(number)) as temporary:
            temporary.write_text(str(number))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(300)))
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == {str(n): str(n) for n in range(300)}


@posix
def test_a_folder_closed_meanwhile_is_reported_as_such() -> None:
    with closed_folder() as folder:
        folder.chmod(0o777)

        # Only its owner may close a folder, so the ordinary user gets one of its own.
        read_write = folder / "own"

        def write_in_own_folder() -> None:
            read_write.mkdir()
            with replace_when_complete(read_write / "out.txt") as temporary:
                temporary.write_text("content")
                read_write.chmod(0o555)

        sentence = as_nobody(write_in_own_folder)
        assert sentence == f"OutputError: {read_write / 'out.txt'} cannot be written (Permission denied); choose another output."
        assert not (read_write / "out.txt").exists()
