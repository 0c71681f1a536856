"""Work folders: what no journal proves to be this program's is never deleted, and nothing is lost between two renames."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from LDCTDenoiseLib.system import durable, work_folder
from LDCTDenoiseLib.system.files import check_writable, replace_folder_when_complete, replace_when_complete
from LDCTDenoiseLib.system.owner import Owner
from LDCTDenoiseLib.system.work_folder import TEMPORARY_PREFIX, WorkFolder, is_work_folder, recover
from Testing.conftest import REPOSITORY
from Testing.system.unprivileged import as_nobody

KILLED = """
import os, signal, sys
from pathlib import Path
from LDCTDenoiseLib.system.work_folder import WorkFolder
(WorkFolder(Path(sys.argv[1])).make_folder() / "half").write_text("half")
os.kill(os.getpid(), signal.SIGKILL)
"""


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def leftover(folder: Path) -> Path:
    """What a killed process leaves."""
    subprocess.run([sys.executable, "-c", KILLED, folder], cwd=REPOSITORY, check=False, timeout=60)
    (found,) = folder.glob(f"{TEMPORARY_PREFIX}*")
    return found


def anything(old: Path) -> None:
    pass


# Whose it is


def test_a_leftover_of_a_killed_process_goes(tmp_path: Path) -> None:
    assert is_work_folder(leftover(tmp_path))
    recover(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_only_has_our_name_stays(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}scan.nrrd").write_text("a scan")
    (tmp_path / f"{TEMPORARY_PREFIX}mine").mkdir()
    (tmp_path / f"{TEMPORARY_PREFIX}mine" / "journal.json").write_text('{"made_by": "ldctdenoise"}')
    (tmp_path / f"{TEMPORARY_PREFIX}link").symlink_to(tmp_path / f"{TEMPORARY_PREFIX}mine")
    before = tree(tmp_path)
    with replace_when_complete(tmp_path / "out") as temporary:
        temporary.write_text("new")
    assert tree(tmp_path) == before | {"out": "new"}


def test_a_copy_of_a_leftover_is_not_ours_to_delete(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    found = leftover(tmp_path / "from")
    shutil.copytree(found, tmp_path / "to" / found.name)
    before = tree(tmp_path / "to")
    recover(tmp_path / "to")
    assert tree(tmp_path / "to") == before


def test_a_folder_in_use_stays(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    try:
        work.make_file()
        recover(tmp_path)
        assert work.path.is_dir()
    finally:
        work.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "goes"),
    [
        ({"pid": 1, "started": "1"}, True),  # another process has its number now
        ({"pid_space": "pid:[1]"}, True),  # another container of this machine, and nobody holds the lock
        ({"boot": "another"}, False),  # perhaps another machine, at work
    ],
)
def test_the_owner_is_known_by_more_than_its_number(tmp_path: Path, change: dict[str, object], goes: bool) -> None:
    found = leftover(tmp_path)
    journal = json.loads((found / "journal.json").read_text())
    journal["owner"] = {**Owner.current().as_json(), **change}
    (found / "journal.json").write_text(json.dumps(journal))
    recover(tmp_path)
    assert found.exists() is not goes


def test_of_a_living_owner_nothing_goes_even_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_folder, "try_lock", lambda handle: work_folder.Lock.NONE)
    work = WorkFolder(tmp_path)
    try:
        recover(tmp_path)
        assert work.path.is_dir()
    finally:
        work.close()


@pytest.mark.parametrize("names", [["../../precious"], ["/precious"], ["a/b"], [".."], [3]])
def test_a_journal_of_a_stranger_leads_nowhere(tmp_path: Path, names: list[object]) -> None:
    (tmp_path / "precious").write_text("mine")
    found = leftover(tmp_path)
    journal = json.loads((found / "journal.json").read_text())
    (found / "journal.json").write_text(json.dumps(journal | {"stage": "exchanging", "target": "x", "names": names}))
    recover(tmp_path)
    assert (tmp_path / "precious").read_text() == "mine"
    assert found.exists()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: fcntl.flock(os.open(path, os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX)])
def test_pipes_and_locks_of_others_do_not_hang(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / f"{TEMPORARY_PREFIX}pipe")
    target = tmp_path / "out"
    target.mkdir()
    other = os.open(target, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    signal.alarm(20)  # a hang ends the test run
    try:
        with replace_folder_when_complete(target, anything) as temporary:
            (temporary / "file").write_text("new")
    finally:
        signal.alarm(0)
        os.close(other)
    assert tree(target) == {"file": "new"}


# One step, or two of which the next run does the second


def old_and_new(folder: Path) -> Path:
    target = folder / "out"
    target.mkdir()
    (target / "1").write_text("old")
    (target / "2").write_text("old")
    return target


def replace_with_new(target: Path) -> None:
    with replace_folder_when_complete(target, anything) as temporary:
        (temporary / "1").write_text("new")


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_folder_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_one_step: bool) -> None:
    if not in_one_step:
        monkeypatch.setattr(work_folder, "exchange", lambda one, other: False)
    elif durable._renameat2() is None:
        pytest.skip("no renameat2 on this system")
    replace_with_new(old_and_new(tmp_path))
    assert tree(tmp_path) == {"out/1": "new"}


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_process_killed_at_any_step_loses_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_one_step: bool) -> None:
    """Killed before every system call that changes names; then the next run."""
    if not in_one_step:
        monkeypatch.setattr(work_folder, "exchange", lambda one, other: False)
    seen = set()
    for step in range(1, 100):
        folder = tmp_path / str(step)
        folder.mkdir()
        target = old_and_new(folder)
        ended = killed_at_step(step, lambda target=target: replace_with_new(target))  # type: ignore[misc]
        between = target.exists()
        check_writable(target, overwrite=True)
        found = tree(folder)
        assert found in ({"out/1": "old", "out/2": "old"}, {"out/1": "new"}), step
        seen.add((found["out/1"], between))
        if ended:
            break
    assert ended
    assert {what for what, _ in seen} == {"old", "new"}
    assert ({there for _, there in seen} == {True, False}) is not in_one_step


def killed_at_step(step: int, work: Callable[[], object]) -> bool:
    """Run in a child that is killed before its so-many-th change of a name; whether it ended before."""
    child = os.fork()
    if child == 0:
        count = 0

        def killing(function: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return call

        for name in ("mkdir", "rename", "replace", "rmdir", "unlink", "chmod", "fsync"):
            setattr(os, name, killing(getattr(os, name)))
        work_folder.exchange = killing(work_folder.exchange)  # type: ignore[assignment]
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status)


def test_what_came_into_the_old_folder_at_the_last_moment_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = old_and_new(tmp_path)
    exchange = work_folder.exchange

    def arrive(one: Path, other: Path) -> bool:
        (target / "mine").write_text("mine")
        return exchange(one, other)

    monkeypatch.setattr(work_folder, "exchange", arrive)

    def refuse(old: Path) -> None:
        if (old / "mine").exists():
            raise work_folder_error

    work_folder_error = ValueError("not ours")
    with pytest.raises(ValueError, match="not ours"), replace_folder_when_complete(target, refuse) as temporary:
        (temporary / "1").write_text("new")
    assert (target / "mine").read_text() == "mine"


# Rights


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_that_is_replaced_passes_its_rights_on(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    target.chmod(mode)
    if os.getuid() == 0:
        os.chown(target, 12, 34)
    before = target.stat()
    with replace_when_complete(target) as temporary:
        temporary.write_text("new")
    after = target.stat()
    assert stat.S_IMODE(after.st_mode) == mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)


@pytest.mark.parametrize("mode", [0o700, 0o2770, 0o755])
def test_a_folder_that_is_replaced_passes_its_rights_on(tmp_path: Path, mode: int) -> None:
    target = old_and_new(tmp_path)
    if os.getuid() == 0:
        os.chown(target, -1, 34)
    target.chmod(mode)
    for path in target.iterdir():
        path.chmod(0o600)
    group = target.stat().st_gid
    replace_with_new(target)
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert target.stat().st_gid == group
    assert stat.S_IMODE((target / "1").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_write_protected_can_be_replaced_by_its_owner(kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own temporary folders are closed to other users
        Path(name).chmod(0o777)

        def replace_protected() -> str:
            target = Path(name, "out")
            old = target / "1" if kind == "folder" else target
            old.parent.mkdir(exist_ok=True)
            old.write_text("old")
            old.chmod(0o444)
            if kind == "folder":
                replace_with_new(target)
            else:
                with replace_when_complete(target) as temporary:
                    temporary.write_text("new")
            return f"{old.read_text()} {stat.S_IMODE(old.stat().st_mode):o}"

        assert as_nobody(replace_protected) == "new 444"


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("old")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "file").symlink_to("elsewhere/file")
    (tmp_path / "new").symlink_to("elsewhere/new")
    replace_with_new(tmp_path / "folder")
    for name in ("file", "new"):
        with replace_when_complete(tmp_path / name) as temporary:
            temporary.write_text("new")
    assert all((tmp_path / name).is_symlink() for name in ("folder", "file", "new"))
    written = {path: text for path, text in tree(tmp_path).items() if "/" in path}
    assert written == {"real/1": "new", "elsewhere/file": "new", "elsewhere/new": "new"} | {
        path: text for path, text in written.items() if path.startswith("folder/")
    }
