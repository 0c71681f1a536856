"""The worker process, driven by a plain subprocess: what it computes, and what happens when it fails."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.errors import DenoisingCancelled, InputError, WorkerError
from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.models.provenance import Provenance
from LDCTDenoiseLib.worker.client import Job, JobError
from LDCTDenoiseLib.worker.exchange import PREFIX, ExchangeFolder, SharedArray
from LDCTDenoiseLib.worker.messages import (
    Cancel,
    Denoise,
    Export,
    LesionMap,
    LesionTest,
    Phantom,
    Progress,
    Report,
    Request,
    Simulate,
    Started,
)
from LDCTDenoiseLib.worker.protocol import (
    MAX_LINE_BYTES,
    REQUESTS,
    LineDecoder,
    ProtocolError,
    decode,
    event_line,
    read_event,
    read_request,
    request_line,
)
from Testing.worker.worker_process import SPACING, WorkerSession, denoise_request, output_of, share

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def noisy(slices: int = 3, size: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    volume = rng.normal(40, 20, (slices, size, size)).round().astype(np.int16)
    volume[:, :8] = -1000
    return volume


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def test_the_worker_gives_the_engines_result(session: WorkerSession, folder: ExchangeFolder, tiny_model: Path) -> None:
    voxels, seen = noisy(), []
    request = denoise_request(folder, voxels, tiny_model, blend=0.7, levels=1, slices=(1, 3), batch_size=1)
    result = session.run(request, lambda done, total: seen.append((done, total)))
    expected = Denoiser(tiny_model, "cpu", levels=1, blend=0.7)(voxels, slices=(1, 3))
    np.testing.assert_array_equal(output_of(request), expected)
    assert seen == [(1, 2), (2, 2)]
    made = result.made
    assert (made.device, made.levels, made.model, len(made.model_hash)) == ("cpu", 1, "tiny", 64)
    assert (made.options.blend, made.slices) == (0.7, (1, 3))


def test_backend_threads_and_region_may_be_asked_for(session: WorkerSession, folder: ExchangeFolder, tiny_model: Path) -> None:
    voxels = noisy()
    voxels[:, :, 20:] = -990
    options = {"backend": "torch", "threads": 1, "region": "body"}
    for asked in ({}, options):  # the same worker takes another denoiser for other options
        request = denoise_request(folder, voxels, tiny_model, **asked)
        session.run(request)
        np.testing.assert_array_equal(output_of(request), Denoiser(tiny_model, "cpu", **asked)(voxels))
    np.testing.assert_array_equal(output_of(request)[:, :, 30:], voxels[:, :, 30:])


def test_a_second_job_is_done_by_the_same_process(session: WorkerSession, folder: ExchangeFolder, tiny_model: Path) -> None:
    for blend in (1.0, 0.0):
        request = denoise_request(folder, noisy(), tiny_model, blend=blend)
        session.run(request)
    np.testing.assert_array_equal(output_of(request), noisy())
    assert len(session.transports) == 1


def test_floating_volumes_come_back_in_single_precision(session: WorkerSession, folder: ExchangeFolder, tiny_model: Path) -> None:
    voxels = noisy().astype(np.float64) + 0.25
    request = denoise_request(folder, voxels, tiny_model)
    session.run(request)
    np.testing.assert_array_equal(output_of(request), Denoiser(tiny_model, "cpu")(voxels))


def test_the_comparison_tells_noise_shift_and_quality(session: WorkerSession, folder: ExchangeFolder) -> None:
    rng = np.random.default_rng(1)
    truth = np.full((2, 96, 96), 40, np.int16)
    truth[:, :16] = -1000
    low = (truth + rng.normal(0, 20, truth.shape)).round().astype(np.int16)
    reference = share(folder, "reference", truth)
    result = session.run(denoise_request(folder, low, Path("default"), compare=True, reference=reference))
    figures = result.comparison
    assert figures["noise_before"] == pytest.approx(20, rel=0.15)
    assert figures["noise_after"] < 0.6 * figures["noise_before"]
    assert abs(figures["mean_shift"]) < 1
    assert figures["after"]["rmse"] < 0.6 * figures["before"]["rmse"]
    assert figures["after"]["psnr"] > figures["before"]["psnr"] + 3
    assert figures["after"]["ssim"] > figures["before"]["ssim"]


def test_the_phantom_is_scanned_and_a_volume_made_noisier(session: WorkerSession, folder: ExchangeFolder) -> None:
    output = folder.allocate("output", (2, 64, 64), np.int16)
    seen: list[tuple[int, int]] = []
    result = session.run(Phantom(folder.path, output, 0.25), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]  # made, and scanned
    scan = np.array(output.map())
    assert result.spacing == (400 / 64, 400 / 64)
    assert -1100 < np.median(scan[:, :4]) < -900
    volume = share(folder, "volume", scan)
    session.run(Simulate(folder.path, volume, output, (0.7, 0.7), 0.5))
    assert not np.array_equal(output.map(), scan)


def test_the_report_names_packages_and_devices(session: WorkerSession) -> None:
    report = session.run(Report())
    assert report.torch_problem == ""
    assert report.devices[-1]["name"] == "cpu"
    assert bool(report.why_no_cuda) == (not any(device["name"].startswith("cuda") for device in report.devices))


@pytest.mark.parametrize(
    ("torch", "problem"),
    [
        ("raise ModuleNotFoundError(name='torch')", "not installed"),
        ("__version__ = '1.13.1'", "too old"),
        ("raise ImportError('libtorch is broken')", "libtorch is broken"),
        ("raise OSError('c10.dll is missing')", "c10.dll is missing"),
    ],
)
def test_without_a_good_torch_the_worker_says_so_and_computes_on_the_cpu(
    tmp_path: Path, folder: ExchangeFolder, tiny_model: Path, torch: str, problem: str
) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "torch.py").write_text(torch)
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'fake')!r}); import LDCTDenoiseLib.worker.serve as s; s.main()"
    session = WorkerSession([sys.executable, "-c", code])
    try:
        report = session.run(Report())
        assert problem in report.torch_problem
        assert [device["name"] for device in report.devices] == ["cpu"]
        session.run(denoise_request(folder, noisy(), tiny_model))
        with pytest.raises(JobError, match=problem) as caught:
            session.run(denoise_request(folder, noisy(), tiny_model, backend="torch"))
        assert caught.value.kind == "MissingTorchError"
    finally:
        session.client.shutdown()


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"model": "nonsense"}, "ModelError", "There is no model 'nonsense'"),
        ({"device": "cuda:77"}, "DeviceError", "CUDA|cuda:77"),
        ({"levels": 9}, "InputError", "2 level"),
        ({"slices": (2, 9)}, "InputError", "0:3"),
    ],
)
def test_a_job_that_cannot_be_done_is_answered_and_the_worker_lives_on(
    session: WorkerSession, folder: ExchangeFolder, tiny_model: Path, changes: dict, kind: str, words: str
) -> None:
    with pytest.raises(JobError, match=words) as caught:
        session.run(denoise_request(folder, noisy(), **{"model": tiny_model} | changes))
    assert caught.value.kind == kind
    session.run(denoise_request(folder, noisy(), tiny_model))
    assert len(session.transports) == 1


def test_the_finding_about_hu_comes_without_command_line_advice(
    session: WorkerSession, folder: ExchangeFolder, tiny_model: Path
) -> None:
    with pytest.raises(JobError, match="lowest is 0") as caught:
        session.run(denoise_request(folder, noisy().clip(0), tiny_model))
    assert caught.value.kind == "NotHUError"
    assert "--force" not in str(caught.value)
    session.run(denoise_request(folder, noisy().clip(0), tiny_model, force=True))


def test_a_replaced_model_file_is_loaded_anew(
    session: WorkerSession, folder: ExchangeFolder, tiny_model: Path, tmp_path: Path
) -> None:
    from LDCTDenoiseLib.models.model_file import save_model
    from LDCTDenoiseLib.models.model_info import ModelInfo
    from Testing.conftest import random_cascade

    model = tmp_path / "model.safetensors"
    model.write_bytes(tiny_model.read_bytes())
    first = session.run(denoise_request(folder, noisy(), model))
    other = random_cascade(seed=5)
    save_model(other, ModelInfo("model", other.levels), model)
    assert session.run(denoise_request(folder, noisy(), model)).made.model_hash != first.made.model_hash


def start(session: WorkerSession, request: Denoise) -> tuple[list, list]:
    """Submit and wait for the first progress: (progress, outcome)."""
    seen: list = []
    outcome: list = []
    session.client.submit(Job(request, outcome.append, outcome.append, lambda *done: seen.append(done)))

    def has_begun() -> bool:
        session.pump()
        assert not outcome, outcome
        return bool(seen)

    wait_until(has_begun, "the first slice", 60)
    return seen, outcome


def finish(session: WorkerSession, outcome: list, seconds: float = 20) -> object:
    def has_ended() -> bool:
        session.pump()
        return bool(outcome)

    wait_until(has_ended, "the outcome", seconds)
    return outcome[0]


def long_request(folder: ExchangeFolder, model: Path, slices: int = 400) -> Denoise:
    return denoise_request(folder, noisy(slices, 128), model, batch_size=1)


def test_cancel_stops_within_two_seconds_and_keeps_the_worker(
    session: WorkerSession, folder: ExchangeFolder, tiny_model: Path
) -> None:
    _, outcome = start(session, long_request(folder, tiny_model))
    before = time.monotonic()
    session.client.cancel()
    assert isinstance(finish(session, outcome), DenoisingCancelled)
    assert time.monotonic() - before < 2
    session.run(denoise_request(folder, noisy(), tiny_model))
    assert len(session.transports) == 1


@posix
def test_a_worker_that_does_not_stop_is_killed(session: WorkerSession, folder: ExchangeFolder, tiny_model: Path) -> None:
    _, outcome = start(session, long_request(folder, tiny_model))
    pid = session.client.pid
    os.kill(pid, signal.SIGSTOP)
    before = time.monotonic()
    session.client.cancel()
    assert isinstance(finish(session, outcome), DenoisingCancelled)
    assert time.monotonic() - before < 2
    assert not alive(pid)


@posix
def test_a_killed_worker_gives_one_message_and_the_next_job_a_fresh_one(
    session: WorkerSession, folder: ExchangeFolder, tiny_model: Path
) -> None:
    _, outcome = start(session, long_request(folder, tiny_model))
    os.kill(session.client.pid, signal.SIGKILL)
    error = finish(session, outcome)
    assert isinstance(error, WorkerError)
    assert "ended unexpectedly (exit code -9)" in str(error)
    session.run(denoise_request(folder, noisy(), tiny_model))
    assert len(outcome) == 1
    assert len(session.transports) == 2


@posix
def test_the_message_quotes_the_process_that_died_and_no_earlier_one(
    session: WorkerSession, folder: ExchangeFolder, tiny_model: Path
) -> None:
    with pytest.raises(JobError, match="'abacus' is not a device"):
        session.run(denoise_request(folder, noisy(), tiny_model, device="abacus"))
    assert not any("Traceback" in line for line in session.client.log), "a message for the user is no fault of the program"
    with pytest.raises(JobError, match="FileNotFoundError"):
        session.run(Phantom(folder.path, SharedArray(folder.path / "nothing", np.dtype(np.int16), (1, 64, 64)), 0.5))
    assert any("Traceback" in line for line in session.client.log)
    session.client.shutdown()
    _, outcome = start(session, long_request(folder, tiny_model))
    os.kill(session.client.pid, signal.SIGKILL)
    message = str(finish(session, outcome))
    assert "FileNotFoundError" not in message
    assert "last lines of its log:\nDevice: cpu" in message


@posix
def test_a_hanging_worker_is_noticed_and_killed(folder: ExchangeFolder, tiny_model: Path) -> None:
    session = WorkerSession(silence_s=3.0)
    _, outcome = start(session, long_request(folder, tiny_model))
    pid = session.client.pid
    os.kill(pid, signal.SIGSTOP)
    assert "has not answered for 3 s" in str(finish(session, outcome))
    assert not alive(pid)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('Segmentation started')", "not part of its protocol.*Segmentation started"),
        (f"import os; os.write(1, b'x' * {2 * MAX_LINE_BYTES})", "a line longer than"),
        ("import sys; sys.exit('no such thing: blurb')", "exit code 1.*\n.*\nno such thing: blurb"),
        ('print(\'{"event":"hello","protocol":99,"pid":1}\')', "speaks protocol 99"),
    ],
)
def test_a_worker_that_talks_nonsense_gives_one_clear_message(code: str, words: str) -> None:
    session = WorkerSession([sys.executable, "-c", f"{code}\nimport time; time.sleep(20)"])
    with pytest.raises(WorkerError, match=words):
        session.run(Report())
    assert session.transports[0].process.poll() is not None


def test_what_libraries_print_does_not_break_the_protocol(tmp_path: Path) -> None:
    code = """
import LDCTDenoiseLib.worker.serve as serve
from LDCTDenoiseLib.worker.messages import Report
def report(jobs, request, tell):
    print("a library says hello", flush=True)
    return serve_report(jobs, request, tell)
serve_report = serve.JOBS[Report]
serve.JOBS[Report] = report
serve.main()
"""
    session = WorkerSession([sys.executable, "-c", code])
    try:
        assert session.run(Report()).software
        session.run(Report())
        assert "a library says hello" in session.client.log
    finally:
        session.client.shutdown()


@posix
def test_no_orphan_and_no_volume_is_left_when_the_parent_is_killed(tiny_model: Path, tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from LDCTDenoiseLib.worker.client import Job
from LDCTDenoiseLib.worker.exchange import ExchangeFolder
from Testing.worker.test_worker import long_request
from Testing.worker.worker_process import WorkerSession
session = WorkerSession()
request = long_request(ExchangeFolder({str(tmp_path)!r}), Path({str(tiny_model)!r}))
session.client.submit(Job(request, print, print, lambda *done: print("PID", session.client.pid, flush=True)))
while True:
    session.pump()
    time.sleep(0.01)
"""
    import subprocess

    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline().split()[1])
        assert list(tmp_path.glob(f"{PREFIX}*"))
        parent.kill()
    wait_until(lambda: not alive(pid), "the worker's end")
    assert not list(tmp_path.glob(f"{PREFIX}*"))


@posix
def test_a_worker_that_is_asked_to_end_removes_its_volumes(
    session: WorkerSession, folder: ExchangeFolder, tiny_model: Path
) -> None:
    _, outcome = start(session, long_request(folder, tiny_model))
    pid = session.client.pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not folder.path.exists(), "the folder's removal")
    while not outcome:
        session.pump()
    assert "exit code 143" in str(outcome[0])


def test_shutdown_ends_the_worker_and_its_job(session: WorkerSession, folder: ExchangeFolder, tiny_model: Path) -> None:
    _, outcome = start(session, long_request(folder, tiny_model))
    pid = session.client.pid
    session.client.shutdown()
    assert isinstance(outcome[0], DenoisingCancelled)
    wait_until(lambda: not alive(pid), "the worker's end", 2)


def test_one_job_at_a_time(session: WorkerSession, folder: ExchangeFolder, tiny_model: Path) -> None:
    start(session, long_request(folder, tiny_model))
    with pytest.raises(WorkerError, match="running already"):
        session.client.submit(Job(Report(), print, print))


def test_a_worker_that_cannot_start_is_reported(tmp_path: Path) -> None:
    session = WorkerSession([sys.executable, str(tmp_path / "missing.py")])
    with pytest.raises(WorkerError, match=r"missing\.py"):
        session.run(Report())


@posix
def test_the_exchange_folder_is_private_and_goes_away(tmp_path: Path) -> None:
    folder = ExchangeFolder(tmp_path)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.allocate("volume", (2, 3, 4), np.int16)
    folder.remove()
    folder.remove()
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_refused_before_anything_is_mapped(folder: ExchangeFolder) -> None:
    with pytest.raises(InputError, match=r"not enough space: .* MB are needed"):
        folder.allocate("volume", (10**6, 10**4, 10**4), np.int16)


def test_only_old_folders_of_dead_jobs_are_swept(tmp_path: Path) -> None:
    stale, fresh, foreign = (tmp_path / name for name in (f"{PREFIX}stale", f"{PREFIX}fresh", "other"))
    for path in (stale, fresh, foreign):
        path.mkdir()
        (path / "volume").write_bytes(b"x")
    for path in (stale, foreign, stale / "volume", foreign / "volume"):
        os.utime(path, (0, 0))
    ExchangeFolder(tmp_path).remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.name, foreign.name]


def test_messages_survive_a_pipe_that_cuts_them_anywhere() -> None:
    events = [Progress(n, 5) for n in range(5)] + [Started("cpu", "Bäuche/läufig")]
    stream = io.BytesIO(b"".join(event_line(event, 1) for event in events))
    decoder, received = LineDecoder(), []
    while data := stream.read(7):
        received += decoder.feed(data)
    assert [read_event(message) for message in received] == events
    with pytest.raises(ProtocolError, match="not a message"):
        decoder.feed(json.dumps([1]).encode() + b"\n")


def test_nothing_of_the_patient_gets_into_the_log_of_an_export(
    session: WorkerSession, folder: ExchangeFolder, tmp_path: Path
) -> None:
    from pydicom import dcmread

    from Testing.dicom.test_log_privacy import MARKER, save_planted

    file = next(save_planted(tmp_path / "source", [0]).iterdir())
    volume = share(folder, "volume", dcmread(file).pixel_array.astype(np.int16)[None] - 1024)
    made = Provenance("tiny", "ab" * 32, DenoisingOptions(levels=1), (0, 1))
    place = ((-12.5, 30.25, 0.0),)
    request = Export(folder.path, volume, (file,), place, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), tmp_path / "out", made)
    assert len(session.run(request).series) == 1
    assert not any(MARKER in line for line in session.client.log)


def requests(folder: Path) -> list[Request]:
    array = SharedArray(folder / "volume", np.dtype(np.int16), (2, 3, 4))
    options = DenoisingOptions(levels=2, blend=0.5, threads=None)
    made = Provenance("tiny", "ab", options, (0, 2))
    return [
        Report(),
        Denoise(folder, array, array, SPACING, options, (0, 2), -2000.0, True, True, array),
        LesionTest(folder, array, array, SPACING, 7, (1, 2), ((-20.0, 8.0), (-20.0, 4.0)), options),
        LesionMap(folder, array, array, SPACING, 1, 7, (-20.0, 8.0), options, True),
        Phantom(folder, array, 0.25),
        Simulate(folder, array, array, SPACING, 0.25),
        Export(folder, array, (folder / "a",), ((0.0, 0.0, 1.0),), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), folder / "out", made),
        Cancel(),
    ]


def test_every_request_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = requests(tmp_path)
    assert {type(one) for one in written} == set(REQUESTS.values())
    assert [read_request(decode(request_line(one, 1))) for one in written] == written


def test_numbers_of_numpy_are_numbers_of_a_message(tmp_path: Path) -> None:
    options = DenoisingOptions(levels=np.int16(2), blend=np.float32(0.5))  # type: ignore[arg-type]
    given = replace(requests(tmp_path)[1], options=options, slices=(np.int64(0), np.int64(2)), force=np.bool_(True))
    read = read_request(decode(request_line(given, 1)))
    assert read == replace(given, options=DenoisingOptions(levels=2, blend=0.5), slices=(0, 2), force=True)


def test_a_request_that_cannot_be_written_leaves_the_client_free(session: WorkerSession, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        session.run(replace(requests(tmp_path)[1], slices=np.arange(2)))
    assert not session.client.busy
    assert session.run(Report()).threads


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"request": "dance"}, "There is no request 'dance'"),
        ({"version": 1}, "speaks protocol 1 and this one 2"),
        ({"version": None}, "speaks protocol None"),
        ({"zoom": 3}, "Denoise has no field 'zoom'"),
        ({"options": {"zoom": 3}}, "DenoisingOptions has no field 'zoom'"),
        ({"spacing": [1.0]}, "The field 'spacing' of a message cannot be"),
        ({"compare": 1}, "The field 'compare' of a message cannot be 1"),
        ({"volume": None}, "The field 'volume' of a message cannot be None"),
    ],
)
def test_a_message_of_another_version_is_refused_in_a_sentence(tmp_path: Path, changes: dict, words: str) -> None:
    line = request_line(requests(tmp_path)[1], 1)
    with pytest.raises(ProtocolError, match=words) as refused:
        read_request(decode(line) | changes)
    assert "\n" not in str(refused.value)


def test_a_field_that_is_lacking_is_named(tmp_path: Path) -> None:
    message = decode(request_line(requests(tmp_path)[1], 1))
    del message["spacing"]
    with pytest.raises(ProtocolError, match="Denoise lacks the field 'spacing'"):
        read_request(message)


def test_what_the_worker_does_not_understand_is_an_error_event(session: WorkerSession) -> None:
    heard: list[bytes] = []
    on_output = session.client.on_output
    session.client.on_output = lambda data: (heard.append(data), on_output(data))  # type: ignore[method-assign]
    session.run(Report())
    session.transports[0].write(b'{"version":2,"request":"dance","id":7}\n')
    session.run(Report())
    events = [json.loads(line) for line in b"".join(heard).splitlines()]
    failed = next(event for event in events if event["id"] == 7)
    assert (failed["event"], failed["kind"], failed["message"]) == ("error", "ProtocolError", "There is no request 'dance'.")


def test_a_worker_of_another_version_is_refused_by_the_client() -> None:
    code = """
import os, sys
print('{"version":2,"event":"hello","id":null,"software":"x","pid":%d}' % os.getpid(), flush=True)
sys.stdin.readline()
print('{"version":2,"event":"started","id":1,"device":"cpu","device_reason":"x","colour":"red"}', flush=True)
sys.stdin.readline()
"""
    session = WorkerSession([sys.executable, "-c", code])
    with pytest.raises(WorkerError, match="Started has no field 'colour'"):
        session.run(Report())
