"""Training at scale: several processes, best weights, early ends, divergence, full disks, critics and plans."""

from __future__ import annotations

import contextlib
import csv
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from safetensors.torch import load_file, save_file
from torch import nn

from LDCTDenoiseLib import load_model
from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.measures.image_quality import ABDOMEN
from LDCTDenoiseLib.models.cascade import Predicts
from LDCTDenoiseLib.training.adversarial import AdversarialTraining, Critic
from LDCTDenoiseLib.training.config import LevelConfig, LossConfig, load_config
from LDCTDenoiseLib.training.level_training import VALIDATION_PSNR, LevelTraining
from LDCTDenoiseLib.training.losses.perceptual import VGG16Features
from LDCTDenoiseLib.training.processes import Processes
from LDCTDenoiseLib.training.train import TrainingData, level_module, new_cascade
from Testing.conftest import REPOSITORY, random_cascade
from Testing.training.test_patches import write_phantom
from Testing.training.test_train import CONFIG, arguments

LEVEL = {"network": "drl", "predicts": "image", "steps": 6, "loss": {"noise_weighted": True}}
DATA = {"patch_size": 16, "batch_size": 4, "validate": ["bert"]}
SHARED: dict[str, object] = CONFIG | {"data": DATA, "levels": [LEVEL, CONFIG["levels"][1]]}  # type: ignore[index]

WITHOUT_NORM = SHARED | {"levels": [LEVEL | {"network": "wgan-vgg"}]}
"""Lightning joins the batch norms of several GPUs; on the CPU each process learns with its own."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("anna", "bert")):
        write_phantom(folder / f"{name}.nrrd", seed=seed)
    return folder


def run(*command: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """A command with all its processes, of which none outlives the test."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **streams, **settings) as process:  # type: ignore[call-overload]
        try:
            out, err = process.communicate(timeout=300)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def python(*command: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", *command, cwd=REPOSITORY, **settings)


def log_of(out: Path, level: int = 1) -> list[dict[str, str]]:
    with (out / f"level{level}" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert main([*arguments(data, out, WITHOUT_NORM), "--quiet"]) == 0
    return out


@pytest.mark.parametrize("launcher", ["lightning", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_two_processes_learn_what_one_with_the_whole_batch_learns(alone: Path, data: Path, tmp_path: Path, launcher: str) -> None:
    out = tmp_path / "run"
    command = [*arguments(data, out, WITHOUT_NORM), "--quiet"]
    if launcher == "torchrun":
        command = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "LDCTDenoiseLib", *command]
        result = python(*command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    else:
        result = python("LDCTDenoiseLib", *command, "--devices", "2")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(out / "small.safetensors")]
    for one, two in zip(log_of(alone), log_of(out), strict=True):
        assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=2e-3)
        assert float(two[VALIDATION_PSNR]) == pytest.approx(float(one[VALIDATION_PSNR]), abs=0.2)
    shared, single = load_file(out / "small.safetensors"), load_file(alone / "small.safetensors")
    # The same names and types: a model knows nothing of how many made it.
    assert {name: (one.shape, one.dtype) for name, one in shared.items()} == {
        name: (one.shape, one.dtype) for name, one in single.items()
    }
    assert load_model(out / "small.safetensors")[1].training["device"].startswith("2 processes")


@pytest.mark.skipif(sys.platform != "linux", reason="threads are listed by /proc")
def test_no_thread_of_a_process_group_outlives_the_training(data: Path, tmp_path: Path) -> None:
    # One that gives back a tensor while Python ends aborts the process, though all is done: seen in one run of three.
    script = tmp_path / "train_and_list_threads.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from LDCTDenoiseLib.commands.command_line import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print('threads', *(name.read_text() for name in Path('/proc/self/task').glob('*/comm')))\n"
    )
    command = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    config = SHARED | {"levels": [LEVEL | {"steps": 2}]}
    result = python(*command, *arguments(data, tmp_path / "run", config), "--quiet", env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("threads") == 2
    assert "gloo" not in result.stdout


def test_held_batch_norm_is_held_where_lightning_joins_it_over_several_gpus() -> None:
    config = LevelConfig("drl", Predicts.IMAGE, 10)
    joined = TorchSyncBatchNorm()
    module = joined.apply(LevelTraining(random_cascade("B"), 0, config, ABDOMEN))
    for make in (joined.apply, joined.revert):
        module = make(module)
        assert isinstance(module, LevelTraining)
        module.norm_held = True
        module.train()
        before = {name: value.clone() for name, value in module.named_buffers()}
        module.denoise(torch.randn(2, 1, 24, 24) * 50)
        assert {name for name, value in module.named_buffers() if not torch.equal(value, before[name])} == set()


def test_each_of_several_processes_estimates_batch_norm_over_whole_batches(data: Path, tmp_path: Path) -> None:
    arguments(data, tmp_path / "run", SHARED)
    config = load_config(tmp_path / "run.yaml")

    def low_doses(processes: Processes) -> torch.Tensor:
        given = TrainingData(data, config, data / "cache", processes, None)
        given.module = level_module(new_cascade(config), 0, config, None)
        given.setup("fit")
        return torch.stack([batch.images().low for batch in given.batches_for_norm()])

    torch.testing.assert_close(low_doses(Processes(1, 2, 1, 2)), low_doses(Processes()), rtol=0, atol=0)


def test_a_run_of_two_processes_goes_on_in_one(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    short = SHARED | {"levels": [LEVEL | {"steps": 2}]}
    result = python("LDCTDenoiseLib", *arguments(data, out, short), "--quiet", "--devices", "2")
    assert result.returncode == 0, result.stderr
    assert main([*arguments(data, out, short | {"levels": [LEVEL | {"steps": 4}]}), "--quiet", "--resume"]) == 0
    assert [row["step"] for row in log_of(out)] == ["2", "4"]


def test_batches_that_cannot_be_shared_are_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments(data, tmp_path / "run", SHARED), "--devices", "3"]) == 1
    assert "batch_size is 4, which 3 processes cannot share" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_step_schedule_drops_to_a_tenth() -> None:
    config = LevelConfig("drl", Predicts.IMAGE, 10, learning_rate=1e-3, schedule="step", drop_at=(3, 5))
    module = LevelTraining(random_cascade("B"), 0, config, ABDOMEN)
    settings = module.configure_optimizers()
    optimizer, scheduler = settings["optimizer"], settings["lr_scheduler"]["scheduler"]  # type: ignore[index, call-overload]
    rates = []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5])


def test_gradient_clipping_shortens_long_gradients_only_when_asked(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: dict[str, list[float]] = {}

    def remember(self: LevelTraining, optimizer: torch.optim.Optimizer) -> None:
        squares = [p.grad.square().sum() for p in self.network.parameters() if p.grad is not None]
        if squares:
            lengths[name].append(float(torch.stack(squares).sum().sqrt()))

    monkeypatch.setattr(LevelTraining, "on_before_zero_grad", remember, raising=False)
    for name, clip in (("free", 0), ("clipped", 1e-3)):
        lengths[name] = []
        config = SHARED | {"levels": [LEVEL | {"steps": 4, "gradient_clip": clip}]}
        assert main([*arguments(data, tmp_path / name, config), "--quiet"]) == 0
    assert max(lengths["free"]) > 1e-2
    assert 0 < max(lengths["clipped"]) <= 1.01e-3


def score(monkeypatch: pytest.MonkeyPatch, *scores: float) -> None:
    """Scores of our choice, by epoch, in place of the validation's."""

    def validation_step(self: LevelTraining, batch: object, batch_index: int) -> None:
        self.log(VALIDATION_PSNR, torch.tensor(scores[self.current_epoch]), batch_size=1)

    monkeypatch.setattr(LevelTraining, "validation_step", validation_step)


def test_the_best_epochs_weights_are_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the run is stopped right after the best epoch, and resumed in another place."""
    score(monkeypatch, 30.0, 33.0, 31.0, 32.0)
    config = SHARED | {"batch_norm_batches": 0, "levels": [LEVEL | {"steps": 4, "weights": "best"}]}
    assert main([*arguments(data, tmp_path / "stopped", config), "--quiet"]) == 0
    (tmp_path / "stopped").rename(tmp_path / "run")
    longer = config | {"levels": [LEVEL | {"steps": 8, "weights": "best"}]}
    assert main([*arguments(data, tmp_path / "run", longer), "--quiet", "--resume"]) == 0
    short = config | {"levels": [LEVEL | {"steps": 4, "weights": "last"}]}
    assert main([*arguments(data, tmp_path / "short", short), "--quiet"]) == 0
    kept, expected = (load_file(tmp_path / name / "small.safetensors") for name in ("run", "short"))
    for name, tensor in expected.items():
        torch.testing.assert_close(kept[name], tensor, msg=name)
    training = load_model(tmp_path / "run" / "small.safetensors")[1].training
    assert (training["steps"], training["kept_steps"]) == ([8], [4])


def test_a_finished_level_has_no_best_epoch_if_none_was_kept(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(**changes: object) -> int:
        config = SHARED | {"levels": [LEVEL | {"network": "wgan-vgg", "steps": 2} | changes]}
        return main([*arguments(data, tmp_path / "run", config), "--quiet", *(["--resume"] if changes else [])])

    assert run() == 0
    assert run(weights="best") == 1
    assert "Level 1 was trained without weights: best" in capsys.readouterr().err
    assert run(weights="best", steps=4) == 0


def test_the_best_epochs_average_is_kept(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(monkeypatch, 30.0, 33.0, 31.0)
    level = LEVEL | {"steps": 6, "weights": "best", "average": 0.9}
    config = SHARED | {"batch_norm_batches": 0, "levels": [level]}
    assert main([*arguments(data, tmp_path / "run", config), "--quiet"]) == 0
    short = config | {"levels": [level | {"steps": 4, "weights": "last"}]}
    assert main([*arguments(data, tmp_path / "short", short), "--quiet"]) == 0
    kept, expected = (load_file(tmp_path / name / "small.safetensors") for name in ("run", "short"))
    for name, tensor in expected.items():
        torch.testing.assert_close(kept[name], tensor, msg=name)


def test_a_level_ends_when_it_gets_no_better_and_stays_ended(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score(monkeypatch, 30.0, 33.0, 31.0, 32.0, 40.0, 50.0)
    config = SHARED | {"levels": [LEVEL | {"steps": 12, "patience": 2}]}
    assert main([*arguments(data, tmp_path / "run", config), "--quiet"]) == 0
    assert [row["step"] for row in log_of(tmp_path / "run")] == ["2", "4", "6", "8"]
    before = load_file(tmp_path / "run" / "small.safetensors")
    assert main([*arguments(data, tmp_path / "run", config), "--quiet", "--resume"]) == 0
    assert [row["step"] for row in log_of(tmp_path / "run")] == ["2", "4", "6", "8"]
    after = load_file(tmp_path / "run" / "small.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_best_weights_need_validation_patients(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = SHARED | {"data": {"patch_size": 16, "batch_size": 4}, "levels": [LEVEL | {"weights": "best"}]}
    assert main(arguments(data, tmp_path / "run", config)) == 1
    assert "Without validation patients there is no best epoch" in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_checkpoint(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    loss = LevelTraining.loss

    def broken(self: LevelTraining, *images: torch.Tensor, **settings: bool) -> torch.Tensor:
        return loss(self, *images, **settings) * (float("nan") if self.global_step == 5 else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(LevelTraining, "loss", broken)
        assert main([*arguments(data, out, SHARED), "--quiet"]) == 1
    assert "level 1 became NaN or infinite by step 6; the last good checkpoint is kept" in capsys.readouterr().err
    checkpoint = torch.load(out / "level1" / "last.ckpt", weights_only=False)
    assert checkpoint["global_step"] == 4
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint["state_dict"].values())
    assert not (out / "small.safetensors").exists()
    assert main([*arguments(data, out, SHARED), "--quiet", "--resume"]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files, as a full disk does")
def test_a_full_disk_ends_the_run_with_a_sentence_and_keeps_the_last_checkpoint(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    short = SHARED | {"levels": [LEVEL | {"steps": 2}]}
    assert main([*arguments(data, out, short), "--quiet"]) == 0
    checkpoint = (out / "level1" / "last.ckpt").read_bytes()
    longer = SHARED | {"levels": [LEVEL | {"steps": 4}]}
    limit = len(checkpoint) // 2
    command = ["LDCTDenoiseLib", *arguments(data, out, longer), "--quiet", "--resume"]
    result = python(*command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert result.returncode == 1
    assert "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr
    assert (out / "level1" / "last.ckpt").read_bytes() == checkpoint
    assert sorted(path.name for path in (out / "level1").iterdir()) == ["last.ckpt", "metrics.csv"]
    assert main([*arguments(data, out, longer), "--quiet", "--resume"]) == 0


def test_the_critics_penalty_is_on_gradients_whose_length_is_not_one() -> None:
    class Steep(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return 3 * image.flatten(1)[:, 0]  # a gradient of length 3 everywhere

    config = LevelConfig("drl", Predicts.IMAGE, 10, loss=LossConfig(adversarial=1.0, gradient_penalty=10.0))
    module = AdversarialTraining(random_cascade("B"), 0, config, ABDOMEN, side=16)
    module.critic = Steep()  # type: ignore[assignment]
    result, target = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 4, 4), 0.2)
    loss = module.critic_loss(result, target, torch.full((2, 1, 1, 1), 0.3))
    assert loss.item() == pytest.approx(3 * 0.5 - 3 * 0.2 + 10 * (3 - 1) ** 2, rel=1e-5)


def test_the_critic_learns_to_tell_noise_from_none() -> None:
    torch.manual_seed(0)
    critic = Critic(16)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3)
    for _ in range(40):
        clean, noisy = torch.full((8, 1, 16, 16), 0.3), 0.3 + 0.1 * torch.randn(8, 1, 16, 16)
        loss = critic(noisy).mean() - critic(clean).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert critic(clean).min() > critic(noisy).max()


def test_an_adversarial_run_resumes_to_the_same_model_and_counts_the_networks_steps(data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "vgg.safetensors"
    torch.manual_seed(0)
    save_file({key: value.contiguous() for key, value in VGG16Features(2).state_dict().items()}, weights)
    loss = {"mse": 0, "perceptual": 0.1, "vgg_blocks": 2, "adversarial": 1.0, "critic_steps": 2}

    def settings(steps: int, rate: float = 1e-3) -> dict[str, object]:
        level = {"network": "wgan-vgg", "predicts": "image", "steps": steps, "betas": [0.5, 0.9], "loss": loss}
        level["learning_rate"] = rate
        return SHARED | {"levels": [level]}

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*arguments(data, whole, settings(4)), "--quiet", "--vgg-weights", str(weights)]) == 0
    assert [row["step"] for row in log_of(whole)] == ["2", "4"]
    assert main([*arguments(data, parts, settings(2)), "--quiet", "--vgg-weights", str(weights)]) == 0
    start = load_file(parts / "small.safetensors")
    assert main([*arguments(data, parts, settings(4)), "--quiet", "--vgg-weights", str(weights), "--resume"]) == 0
    resumed, expected = load_file(parts / "small.safetensors"), load_file(whole / "small.safetensors")
    for name, tensor in expected.items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-6, rtol=0, msg=name)
    assert any(not torch.equal(start[name], tensor) for name, tensor in resumed.items())
    card = (whole / "small.md").read_text(encoding="utf-8")
    assert "loss 0.1 * L_P (VGG-16, 2 blocks" in card
    assert "+ 1 * Wasserstein critic" in card
    state = torch.load(whole / "level1" / "last.ckpt", weights_only=False)
    assert any(name.startswith("critic.") for name in state["state_dict"])
    assert len(state["optimizer_states"]) == 2
    assert main([*arguments(data, parts, settings(6, 1e-4)), "--quiet", "--vgg-weights", str(weights), "--resume"]) == 0
    slower = torch.load(parts / "level1" / "last.ckpt", weights_only=False)["optimizer_states"]
    assert {group["lr"] for optimizer in slower for group in optimizer["param_groups"]} == {1e-4}


def test_a_dry_run_tells_the_plan_and_writes_nothing(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = arguments(data, tmp_path / "run", SHARED)
    before = sorted(tmp_path.iterdir())
    assert main([*command, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "2 normal-dose volumes with noise to insert; patients: 1 train, 1 validate, 0 test" in told
    assert "Level 1: drl predicts image, 225,601 parameters; 6 steps in 3 epochs, 24 patches" in told
    assert "GiB of memory" in told
    assert "All levels: about" in told
    assert sorted(tmp_path.iterdir()) == before
    assert main([*arguments(tmp_path, tmp_path / "run", SHARED), "--dry-run"]) == 1
    assert "holds no volume file" in capsys.readouterr().err
