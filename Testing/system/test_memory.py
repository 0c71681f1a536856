"""The memory that is free: containers have less than the machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.system import memory
from Testing.conftest import REPOSITORY

MIB = 2**20
V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def group(folder: Path, names: tuple[str, str, str], limit: str | int, used: int, cache: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cache}\nother 7\n")


def left(tmp_path: Path, *lines: str) -> list[int]:
    (tmp_path / "groups").write_text("".join(f"{line}\n" for line in lines))
    return memory.left_in_control_groups(tmp_path / "mounted", tmp_path / "groups")


def test_version_2_of_a_container_that_sees_itself_as_the_root(tmp_path: Path) -> None:
    group(tmp_path / "mounted", V2, 512 * MIB, 200 * MIB, 50 * MIB)
    assert left(tmp_path, "0::/") == [362 * MIB]


def test_version_2_counts_the_groups_above(tmp_path: Path) -> None:
    group(tmp_path / "mounted" / "slice" / "job", V2, "max", 10 * MIB)
    group(tmp_path / "mounted" / "slice", V2, 100 * MIB, 90 * MIB)
    assert left(tmp_path, "0::/slice/job") == [10 * MIB]


def test_version_1_whatever_path_the_host_has_for_it(tmp_path: Path) -> None:
    group(tmp_path / "mounted" / "memory", V1, 300 * MIB, 100 * MIB, 20 * MIB)
    assert left(tmp_path, "5:cpu:/", "4:memory,hugetlb:/docker/abc") == [220 * MIB]


def test_both_at_once(tmp_path: Path) -> None:
    group(tmp_path / "mounted" / "memory" / "job", V1, 300 * MIB, 100 * MIB)
    group(tmp_path / "mounted" / "unified", V2, 250 * MIB, 100 * MIB)
    assert sorted(left(tmp_path, "4:memory:/job", "0::/")) == [150 * MIB, 200 * MIB]


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    group(tmp_path / "mounted", V2, 100, 200)
    assert left(tmp_path, "0::/") == [0]


def test_no_limit_no_group_no_file(tmp_path: Path) -> None:
    group(tmp_path / "mounted", V2, "max", 200)
    assert left(tmp_path, "0::/", "nonsense") == []
    assert memory.left_in_control_groups(tmp_path / "nothing", tmp_path / "nothing") == []


def test_a_volume_beyond_the_container_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "left_in_control_groups", lambda: [100 * MIB])
    memory.check_memory("small.nrrd", (10, 512, 512), 2)
    with pytest.raises(InputError, match=r"0\.1 GiB are free"):
        memory.check_memory("large.nrrd", (100, 512, 512), 2)


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_the_limit_of_a_real_group(tmp_path: Path) -> None:
    """A child in a control group of 256 MiB, which root makes."""
    found = re.search(r"^\d+:(?:.*,)?memory(?:,.*)?:(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    own = Path("/sys/fs/cgroup/memory" + found[1]) if found else Path("/sys/fs/cgroup")
    made = (own if own.is_dir() else Path("/sys/fs/cgroup/memory")) / f"ldctdenoise-test-{os.getpid()}"
    try:
        made.mkdir()
        (made / ("memory.limit_in_bytes" if found else "memory.max")).write_text(str(256 * MIB))
    except OSError as error:
        if made.exists():
            made.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    try:
        code = "from LDCTDenoiseLib.system.memory import free_memory; print(free_memory())"
        shell = f"echo $$ > {made / 'cgroup.procs'} && exec {sys.executable} -c '{code}'"
        done = subprocess.run(["/bin/sh", "-c", shell], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
        assert 150 * MIB < int(done.stdout) <= 256 * MIB, done.stderr
    finally:
        made.rmdir()
