"""``batch --engine ray``: workers and drivers are killed, one input ends each worker, and nothing is lost or done twice."""

from __future__ import annotations

import contextlib
import io
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.denoising.batch.ray_engine import _fitting
from LDCTDenoiseLib.denoising.batch.records import FOLDER as RECORDS
from LDCTDenoiseLib.system.work_folder import TEMPORARY_PREFIX
from Testing.commands.test_command_line import REPOSITORY, Outcome, _heed_ctrl_c, run_process
from Testing.denoising.ray_cluster import Cluster, environment, ray_cluster
from Testing.denoising.ray_driver import POISON_HU, PUBLISHED
from Testing.denoising.test_batch import contents, save_dicom, save_volume

VOLUMES, SERIES = 45, 15
POISON = "p07/poison.nrrd"


# Without Ray


def test_without_ray_one_sentence_names_the_extra(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_volume(tmp_path / "src" / "a.nrrd")
    monkeypatch.setitem(sys.modules, "ray", None)
    command = ["batch", tmp_path / "src", tmp_path / "dst", "--model", tiny_model, "--engine", "ray", "--quiet"]
    assert main([str(one) for one in command]) == 1
    assert capsys.readouterr().err == (
        "ldctdenoise: This needs the package ray, which is not installed: pip install 'ldctdenoise[cluster]'.\n"
    )


def test_the_local_engine_imports_no_ray(tiny_model: Path, tmp_path: Path) -> None:
    save_volume(tmp_path / "src" / "a.nrrd")
    arguments = ["batch", str(tmp_path / "src"), str(tmp_path / "dst"), "--model", str(tiny_model), "--device", "cpu", "--quiet"]
    code = f"""if True:
        import sys
        from LDCTDenoiseLib.commands.command_line import main
        assert main({arguments!r}) == 0
        assert "ray" not in sys.modules"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, capture_output=True)


@pytest.mark.parametrize(
    ("node", "gpus", "cpus", "workers"),
    [
        ({"CPU": 8.0}, 0, 1, 8),
        ({"CPU": 8.0}, 0, 3, 2),
        ({"CPU": 8.0}, 1, 1, 0),
        ({"CPU": 32.0, "GPU": 4.0}, 1, 1, 4),
        ({"CPU": 32.0, "GPU": 4.0}, 0.5, 1, 8),
        ({"CPU": 32.0, "GPU": 2.0}, 0.4, 1, 4),  # parts of two GPUs make no third worker
        ({"CPU": 2.0, "GPU": 4.0}, 1, 1, 2),
        ({"CPU": 32.0, "GPU": 4.0}, 2, 1, 2),
        ({}, 0, 1, 0),
    ],
)
def test_workers_that_a_machine_holds(node: dict[str, float], gpus: float, cpus: int, workers: int) -> None:
    assert _fitting(node, gpus, cpus) == workers


def test_a_cluster_that_is_not_there_is_told_at_once(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="the extra cluster is not installed")
    save_volume(tmp_path / "src" / "a.nrrd")
    usual = ["batch", tmp_path / "src", tmp_path / "dst", "--model", tiny_model, "--engine", "ray", "--quiet"]
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1"):
        assert main([str(one) for one in (*usual, "--address", address)]) == 1
        assert capsys.readouterr().err == (
            f"ldctdenoise: Ray cannot be reached at {address} ([Errno 111] Connection refused); "
            "start it with ray start, or correct --address.\n"
        )


# On a cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("ray", reason="the extra cluster is not installed")
    with ray_cluster(cores=3) as started:
        yield started


def save_sources(source: Path) -> None:
    for number in range(VOLUMES):
        save_volume(source / f"p{number:02d}" / "v.nrrd", number)
    for number in range(SERIES):
        save_dicom(source / "dicom" / f"s{number:02d}", f"1.2.3.{number}.1")


def save_poison(source: Path) -> None:
    voxels = np.full((3, 16, 16), -300, np.int16)
    voxels[1, 8, 8] = POISON_HU
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(source / POISON))


Start = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def start(cluster: Cluster, tmp_path: Path, tiny_model: Path) -> Iterator[Start]:
    """Starts a driver; none outlives the test."""
    started = []

    def start_one() -> subprocess.Popen[str]:
        started.append(start_driver(cluster, tmp_path, tiny_model))
        return started[-1]

    yield start_one
    for driver in started:
        driver.kill()
        driver.communicate()


def start_driver(cluster: Cluster, folder: Path, model: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "Testing.denoising.ray_driver", "batch", folder / "src", folder / "dst", "--model", model]
    options = ["--device", "cpu", "--engine", "ray", "--address", cluster.address, "--json"]
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [str(one) for one in command + options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**environment(), "TMPDIR": str(folder / "tmp")},
        preexec_fn=_heed_ctrl_c,
    )


def records(target: Path) -> dict[str, dict[str, object]]:
    """By output; those that are done."""
    folder = target / RECORDS
    found = {}
    for path in folder.rglob("*.json"):
        if path.parent.name.startswith(TEMPORARY_PREFIX):
            continue
        with contextlib.suppress(FileNotFoundError):
            found[str(path.relative_to(folder).with_suffix(""))] = json.loads(path.read_text())
    return {name: record for name, record in found.items() if record["output"]}


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(f"{TEMPORARY_PREFIX}*"))


def await_done(driver: subprocess.Popen[str], target: Path, count: int) -> None:
    end = time.monotonic() + 240
    while len(records(target)) < count:
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


def await_workers(cluster: Cluster) -> list[psutil.Process]:
    """A driver that was started anew needs a while."""
    end = time.monotonic() + 60
    while not (workers := cluster.workers()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return workers


def same_but_for_times(one: Path, other: Path) -> bool:
    """Whether two outputs have the same bytes; in DICOM, but for dates and times."""
    if one.suffix != ".dcm":
        return one.read_bytes() == other.read_bytes()
    first, second = (pydicom.dcmread(path) for path in (one, other))
    for dataset in (first, second):
        for element in list(dataset.iterall()):
            if element.VR in ("DA", "TM", "DT"):
                element.value = ""
    return first == second and first.file_meta == second.file_meta


def assert_same_outputs(one: Path, other: Path) -> None:
    assert contents(one).keys() == contents(other).keys()
    for name in contents(one):
        assert same_but_for_times(one / name, other / name), name


def run_with(cluster: Cluster, *arguments: object) -> Outcome:
    """The command line as it is, with Ray's workers on a cluster."""
    command = [sys.executable, "-m", "LDCTDenoiseLib", *arguments, "--quiet", "--engine", "ray", "--address", cluster.address]
    done = subprocess.run(
        [str(one) for one in command], capture_output=True, text=True, cwd=REPOSITORY, env=environment(), timeout=240, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def run_local(source: Path, target: Path, model: Path, *options: object) -> dict[str, str]:
    arguments = ["batch", source, target, "--model", model, "--device", "cpu", "--quiet", "--json", *options]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main([str(one) for one in arguments])
    return {one["output"]: one["status"] for one in json.loads(out.getvalue())["series"]}


@pytest.mark.slow
@pytest.mark.parametrize("poison", [False, True], ids=["healthy", "poison"])
def test_kills_of_workers_and_drivers_lose_nothing_and_do_nothing_twice(
    cluster: Cluster, start: Start, tiny_model: Path, tmp_path: Path, poison: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "src", tmp_path / "dst"
    save_sources(source)
    if poison:
        save_poison(source)
    chance = random.Random(f"{poison}")
    moments = sorted(chance.sample(range(3, 52), 7))
    killed = Counter[str]()
    driver = start()
    for number, moment in enumerate(moments):
        await_done(driver, target, moment)
        time.sleep(chance.uniform(0, 0.5))
        if number in (2, 4):
            driver.kill()
            driver.communicate()
            driver = start()
            killed["driver"] += 1
        else:
            chance.choice(await_workers(cluster)).kill()
            killed["worker"] += 1
    out, err = driver.communicate(timeout=240)
    assert killed == {"worker": 5, "driver": 2}
    assert driver.returncode == poison, err
    last = json.loads(out)

    names = {f"p{number:02d}/v.nrrd" for number in range(VOLUMES)} | {f"dicom/s{number:02d}" for number in range(SERIES)}
    assert records(target).keys() == names
    published = Counter((tmp_path / PUBLISHED).read_text().split())
    assert set(published.values()) == {1}
    assert published.keys() <= names
    assert len(published) >= len(names) - killed.total()  # a kill may come between the record and the log
    assert leftovers(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    psutil.wait_procs(cluster.workers(), 20)
    assert cluster.workers() == []

    (tmp_path / "plain").mkdir()
    if poison:
        (failed,) = [one for one in last["series"] if one["status"] == "failed"]
        assert failed["output"] == POISON
        assert "It ended 3 workers" in failed["reason"] or "not read again" in failed["reason"]
        assert "--overwrite" in failed["reason"]
        assert not (target / POISON).exists()
        again = run_local(source, target, tiny_model)
        assert again.pop(POISON) == "failed"  # refused without a try
        (source / POISON).unlink()
    else:
        again = run_local(source, target, tiny_model)
    assert again == dict.fromkeys(names, "already finished")  # compares contents with the records
    run_local(source, tmp_path / "plain" / "dst", tiny_model)
    assert_same_outputs(target, tmp_path / "plain" / "dst")
    with capsys.disabled():
        print(f"\n{len(names)} series, kills: {dict(killed)}, poison: {int(poison)}; 0 lost, 0 twice, 0 left over")


@pytest.mark.slow
def test_local_ray_and_shards_give_the_same(cluster: Cluster, tiny_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "src"
    save_sources(source)
    run_local(source, tmp_path / "local", tiny_model)
    ray = run_with(cluster, "batch", source, tmp_path / "ray", "--model", tiny_model, "--device", "cpu", "--json")
    assert ray.code == 0, ray.err
    assert set(json.loads(ray.out)["counts"]) == {"denoised"}
    done = [run_local(source, tmp_path / "shards", tiny_model, "--shard", f"{number}/4") for number in range(4)]
    assert sum(map(len, done)) == VOLUMES + SERIES
    assert_same_outputs(tmp_path / "local", tmp_path / "ray")
    assert_same_outputs(tmp_path / "local", tmp_path / "shards")


@pytest.mark.slow
def test_ctrl_c_ends_cleanly_and_the_next_run_goes_on(cluster: Cluster, start: Start, tmp_path: Path) -> None:
    save_sources(tmp_path / "src")
    driver = start()
    await_done(driver, tmp_path / "dst", 5)
    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert err.splitlines()[-1] == "Interrupted; no partial output was left."
    assert "Traceback" not in err
    assert out == ""
    assert leftovers(tmp_path) == []
    psutil.wait_procs(cluster.workers(), 20)
    assert cluster.workers() == []
    before = len(records(tmp_path / "dst"))
    driver = start()
    out, err = driver.communicate(timeout=240)
    assert driver.returncode == 0, err
    assert json.loads(out)["counts"] == {"already finished": before, "denoised": VOLUMES + SERIES - before}


@pytest.mark.slow
def test_ray_started_here_is_gone_afterwards(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra cluster is not installed")
    save_volume(tmp_path / "src" / "a.nrrd")
    before = set(Path(tempfile.gettempdir()).glob("ldctdenoise-ray-*"))
    options = ("--model", tiny_model, "--quiet", "--engine", "ray", "--gpus-per-worker", 0, "--threads", 1)
    outcome = run_process("batch", tmp_path / "src", tmp_path / "dst", *options)
    assert outcome.code == 0, outcome.err
    assert set(Path(tempfile.gettempdir()).glob("ldctdenoise-ray-*")) == before
    assert outcome.err == ""


@pytest.mark.slow
def test_no_room_and_no_token_are_one_sentence(cluster: Cluster, tiny_model: Path, tmp_path: Path) -> None:
    save_volume(tmp_path / "src" / "a.nrrd")
    usual = ("batch", tmp_path / "src", tmp_path / "dst", "--model", tiny_model)
    outcome = run_with(cluster, *usual, "--gpus-per-worker", 1)
    assert outcome.code == 1
    assert "No machine of the cluster has 1 GPU and 1 core for a worker" in outcome.err.splitlines()[-1]
    outcome = run_process(*usual, "--engine", "ray", "--address", cluster.address, "--quiet")
    assert "The cluster at" in outcome.err.splitlines()[-1]
    assert "RAY_AUTH_TOKEN" in outcome.err.splitlines()[-1]
