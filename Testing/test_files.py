"""Outputs are whole or absent."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.files import check_writable, replace_when_complete
from Testing.unprivileged import as_nobody, closed_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_output_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "out.nrrd"
    with replace_when_complete(target, ".nrrd") as temporary:
        temporary.write_text("content")
        assert not target.exists()
        assert temporary.parent == target.parent  # a rename across file systems would be a copy
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
    with pytest.raises(InputError, match="out cannot be written"), replace_when_complete(tmp_path / "out"):
        pass
    assert names(tmp_path) == ["out"]


def test_a_missing_folder_is_refused_before_and_while_writing(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "out.txt"
    with pytest.raises(InputError, match="missing does not exist; create it"):
        check_writable(target, overwrite=True)
    with pytest.raises(InputError, match="cannot be written"), replace_when_complete(target):
        pytest.fail("reached")


def test_a_file_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="does not exist"):
        check_writable(tmp_path / "file" / "out.txt", overwrite=True)


def test_an_existing_output_is_refused_without_overwrite(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    assert check_writable(target, overwrite=False) == target
    target.touch()
    with pytest.raises(InputError, match="exists; pass --overwrite"):
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

        assert as_nobody(check) == f"InputError: The folder {folder} is not writable; choose another output folder."
        assert as_nobody(write) == f"InputError: {target} cannot be written (Permission denied); choose another output."
