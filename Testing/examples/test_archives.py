"""The files of ``examples/archives``: what they start is what the command line takes, and the Slurm script does its shard."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from LDCTDenoiseLib.commands.command_line import build_parser, main
from Testing.denoising.test_batch import save_volume

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples" / "archives"
yaml = pytest.importorskip("yaml", reason="the extra train brings PyYAML")


def load(name: str) -> dict:
    return yaml.safe_load((EXAMPLES / name).read_text())


def commands() -> list[tuple[str, str]]:
    """Each ``ldctdenoise`` line of the examples and of the page, by where it stands."""
    pages = [*EXAMPLES.iterdir(), REPOSITORY / "docs" / "archives.md"]
    lines = [(path.name, line) for path in pages for line in path.read_text().splitlines()]
    found = [(name, re.search(r"ldctdenoise (batch|batch-report) [^'`#]*", line)) for name, line in lines]
    return [(name, match.group().strip()) for name, match in found if match]


@pytest.mark.parametrize(("name", "line"), commands())
def test_every_command_of_the_examples_is_one(name: str, line: str) -> None:
    filled = line.replace("$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT", "3/100").replace('"${@:3}"', "")
    build_parser().parse_args(shlex.split(filled)[1:])


def test_the_indexed_job_has_as_many_pods_as_shards() -> None:
    job = load("kubernetes_indexed_job.yaml")["spec"]
    (container,) = job["template"]["spec"]["containers"]
    filled = [one.replace("$(JOB_COMPLETION_INDEX)", str(job["completions"] - 1)) for one in container["args"]]
    shard = build_parser().parse_args(filled[1:]).shard
    assert (job["completionMode"], shard.number, shard.count) == ("Indexed", job["completions"] - 1, job["completions"])
    assert job["parallelism"] <= job["completions"]


def test_the_ray_job_starts_a_batch_and_its_workers_hold_a_gpu() -> None:
    job = load("kuberay_job.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    options = build_parser().parse_args(shlex.split(job["spec"]["entrypoint"])[1:])
    assert (options.engine, options.address, options.gpus_per_worker) == ("ray", "auto", 1)
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_rays_launcher_understands_the_cluster() -> None:
    pytest.importorskip("ray", reason="the extra cluster is not installed")
    code = """if True:
        import sys, yaml
        from ray.autoscaler._private.util import prepare_config, validate_config
        validate_config(prepare_config(yaml.safe_load(open(sys.argv[1]))))"""
    subprocess.run([sys.executable, "-c", code, str(EXAMPLES / "ray_cluster.yaml")], check=True, capture_output=True, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_slurm_array_does_the_list(tiny_model: Path, tmp_path: Path) -> None:
    for number in range(5):
        save_volume(tmp_path / "src" / f"{number}.nrrd", number)
    tool = tmp_path / "bin" / "ldctdenoise"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m LDCTDenoiseLib "$@"\n')
    tool.chmod(0o755)
    usual = {"PATH": f"{tool.parent}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY), "SLURM_ARRAY_TASK_COUNT": "2"}
    for task in ("0", "1"):
        command = [
            "bash",
            EXAMPLES / "slurm_array.sh",
            tmp_path / "src",
            tmp_path / "dst",
            "--model",
            tiny_model,
            "--device",
            "cpu",
        ]
        environment = {**os.environ, **usual, "SLURM_ARRAY_TASK_ID": task}
        subprocess.run([str(one) for one in command], check=True, env=environment, capture_output=True, timeout=120)
    assert main(["batch-report", str(tmp_path / "dst")]) == 0
