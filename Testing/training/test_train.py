"""Training: the losses, levels on the results of earlier ones, and runs that survive being killed."""

from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from LDCTDenoiseLib import Denoiser, load_model, read_volume
from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.ct.hu import DEFAULT_SCALE
from LDCTDenoiseLib.inference.backends.onednn import has_bfloat16
from LDCTDenoiseLib.measures.image_quality import ABDOMEN
from LDCTDenoiseLib.models.cascade import Predicts
from LDCTDenoiseLib.models.model_file import save_model
from LDCTDenoiseLib.training.config import LevelConfig, LossConfig
from LDCTDenoiseLib.training.level_training import LevelTraining
from LDCTDenoiseLib.training.patches.samples import Images
from Testing.conftest import random_cascade
from Testing.training.test_patches import write_phantom

CONFIG = {
    "name": "small",
    "purpose": "a test",
    "seed": 3,
    "steps_per_epoch": 2,
    "batch_norm_batches": 2,
    "data": {"patch_size": 16, "batch_size": 2, "validate": ["bert"]},
    "levels": [
        {
            "network": "drl",
            "predicts": "image",
            "steps": 6,
            "precision": "bf16-mixed",
            "schedule": "cosine",
            "hold_norm_from_step": 4,
            "average": 0.5,
            "loss": {"noise_weighted": True},
        },
        {"network": "drl-difference", "predicts": "difference", "steps": 4, "muon_rate": 0.02},
    ],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("anna", "bert")):
        write_phantom(folder / f"{name}.nrrd", seed=seed)
    return folder


def arguments(data: Path, out: Path, config: dict[str, object] = CONFIG) -> list[str]:
    path = out.with_name(f"{out.name}.yaml")
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    cache = data / "cache"
    return ["train", "--config", str(path), "--data", str(data), "--out", str(out), "--cache", str(cache), "--device", "cpu"]


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main([*arguments(data, out), "--quiet"]) == 0
    return out


def module_for(index: int = 0, **loss: object) -> LevelTraining:
    predicts = [Predicts.IMAGE, Predicts.DIFFERENCE][index]
    config = LevelConfig("drl", predicts, 10, loss=LossConfig(**loss))  # type: ignore[arg-type]
    return LevelTraining(random_cascade("C"), index, config, ABDOMEN)


def test_mse_is_a_mean_over_pixels_and_batch_in_network_units() -> None:
    full = torch.zeros(2, 1, 8, 8)
    result = DEFAULT_SCALE.to_unit(full) + torch.tensor([10.0, 20.0]).reshape(2, 1, 1, 1) / 4095
    assert module_for().loss(result, full, full).item() == pytest.approx((10**2 + 20**2) / 2 / 4095**2, rel=1e-3)


def test_weighting_divides_by_the_error_to_expect_from_the_inserted_noise() -> None:
    torch.manual_seed(0)
    full = torch.zeros(2, 1, 64, 64)
    low = torch.randn(2, 1, 64, 64) * torch.tensor([10.0, 50.0]).reshape(2, 1, 1, 1)
    error = torch.tensor([6.0, 25.0]).reshape(2, 1, 1, 1)
    result = DEFAULT_SCALE.to_unit(full) + error / 4095
    expected = (6**2 / (10**2 / 4 + 9) + 25**2 / (50**2 / 4 + 9)) / 2
    assert module_for(noise_weighted=True).loss(result, full, low).item() == pytest.approx(expected, rel=0.05)


def test_the_perceptual_term_waits_for_its_step_and_has_its_weight() -> None:
    class Constant(torch.nn.Module):
        def forward(self, image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
            assert image.mean().item() == pytest.approx(40, abs=0.1)  # HU
            return torch.full((len(image),), 5.0)

    config = LevelConfig("drl", Predicts.IMAGE, 10, loss=LossConfig(perceptual=0.1, perceptual_from_step=3))

    class AtStep(LevelTraining):
        step_now = 2

        @property
        def global_step(self) -> int:
            return self.step_now

    module = AtStep(random_cascade("C"), 0, config, ABDOMEN, Constant())  # type: ignore[arg-type]
    full = torch.full((2, 1, 8, 8), 40.0)
    assert module.loss(DEFAULT_SCALE.to_unit(full), full, full).item() == pytest.approx(0, abs=1e-12)
    module.step_now = 3
    assert module.loss(DEFAULT_SCALE.to_unit(full), full, full).item() == pytest.approx(0.5, rel=1e-5)


def test_only_the_level_in_training_learns() -> None:
    module = module_for(1)
    module.train()
    before = {name: value.clone() for name, value in module.cascade.networks[0].state_dict().items()}
    low = torch.randn(2, 1, 16 + 34, 16 + 34) * 50
    module.loss(module.denoise(low, module.halo), torch.zeros(2, 1, 16, 16), low[..., 17:-17, 17:-17]).backward()
    assert all(parameter.grad is None for parameter in module.cascade.networks[0].parameters())
    assert any(parameter.grad is not None for parameter in module.cascade.networks[1].parameters())
    for name, value in module.cascade.networks[0].state_dict().items():
        assert torch.equal(value, before[name]), name


def test_end_to_end_every_level_learns_and_every_result_counts() -> None:
    config = LevelConfig("drl", Predicts.DIFFERENCE, 10, end_to_end=True, loss=LossConfig(lesions=0.5))
    module = LevelTraining(random_cascade("C"), 1, config, ABDOMEN)
    module.train()
    low = torch.randn(2, 1, 50, 50) * 50
    images = Images(torch.zeros_like(low), low)
    before = {name: value.clone() for name, value in module.cascade.network(0).named_buffers()}
    module.step_loss(images._replace(lesions=torch.full((1, 1, 50, 50), 20.0), patch=torch.tensor([1]))).backward()
    assert all(parameter.grad is not None for parameter in module.cascade.parameters())
    for name, value in module.cascade.network(0).named_buffers():
        assert torch.equal(value, before[name]), name

    module.eval()
    results = [module.cascade(DEFAULT_SCALE.to_unit(low), levels=levels)[..., 17:-17, 17:-17] for levels in (1, 2)]
    full, low_inside = images.full[..., 17:-17, 17:-17], low[..., 17:-17, 17:-17]
    alone = [module.loss(result, full, low_inside).item() for result in results]
    # The second level's own border is padded where the whole image has neighbours.
    assert module.step_loss(images).item() == pytest.approx(sum(alone), rel=0.1)
    assert module.loss(module.results(low, 17)[0], full, low_inside).item() == pytest.approx(alone[0], rel=1e-5)


@pytest.mark.parametrize(("system", "index"), [("C", 1), ("3-level", 2), ("Wu", 3)])
def test_a_patch_sees_the_earlier_levels_result_as_in_a_whole_slice(system: str, index: int) -> None:
    level = LevelConfig("drl", Predicts.DIFFERENCE, 10)
    module = LevelTraining(random_cascade(system), index, level, ABDOMEN).eval()
    side = 16 + 2 * module.halo
    whole = torch.randn(1, 1, side + 40, side + 40) * 50
    seen: list[torch.Tensor] = []
    module.network.register_forward_hook(lambda network, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        module.denoise(whole)
        module.denoise(whole[..., 20 : 20 + side, 20 : 20 + side], module.halo)
    inside = slice(20 + module.halo, 20 + module.halo + 16)
    torch.testing.assert_close(seen[1], seen[0][..., inside, inside])


def test_a_level_sees_the_earlier_ones_results_in_the_precision_of_inference() -> None:
    module = module_for(1).eval()
    low = torch.randn(1, 1, 40, 40) * 50
    seen: list[torch.Tensor] = []
    module.network.register_forward_hook(lambda network, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        module.denoise(low)
        with torch.autocast("cpu", torch.bfloat16):
            module.denoise(low)
    assert torch.equal(seen[0], seen[1])


def test_the_last_layer_can_learn_slower_and_the_cosine_ends_at_zero() -> None:
    config = LevelConfig("drl", Predicts.IMAGE, 8, learning_rate=1e-3, last_layer_rate=0.01, schedule="cosine")
    module = LevelTraining(random_cascade("C"), 0, config, ABDOMEN)
    settings = module.configure_optimizers()
    optimizer, scheduler = settings["optimizer"], settings["lr_scheduler"]["scheduler"]  # type: ignore[index, call-overload]
    others, last = optimizer.param_groups
    assert others["lr"] == pytest.approx(1e-3)
    assert last["lr"] == pytest.approx(1e-5)
    assert {id(p) for p in last["params"]} == {id(p) for p in module.network.last_layer.parameters()}
    assert len(others["params"]) + 2 == len(list(module.network.parameters()))
    for _ in range(8):
        optimizer.step()
        scheduler.step()
    assert others["lr"] == pytest.approx(0)


def test_muon_moves_the_hidden_convolutions_as_far_in_every_direction() -> None:
    config = LevelConfig("drl", Predicts.IMAGE, 8, learning_rate=1e-3, last_layer_rate=0.01, muon_rate=0.02)
    module = LevelTraining(random_cascade("C"), 0, config, ABDOMEN)
    optimizer = module.network_optimizer()
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    network = module.network
    assert len(rates) == len(list(network.parameters()))
    assert {name for name, p in network.named_parameters() if rates[id(p)] == 0.02} == {f"c{n}.weight" for n in range(2, 7)}
    assert {name for name, p in network.named_parameters() if rates[id(p)] == 1e-5} == {"c7.weight", "c7.bias"}
    before = network.c3.weight.detach().clone()
    network(torch.rand(1, 1, 24, 24)).square().mean().backward()
    optimizer.step()
    moved = torch.linalg.svdvals((network.c3.weight.detach() - before).flatten(1))
    # Newton-Schulz with Muon's coefficients leaves singular values between about 0.7 and 1.2.
    assert moved.min() > 0.6 * 0.02
    assert moved.max() < 1.3 * 0.02


def test_a_run_leaves_model_card_and_records(finished: Path) -> None:
    cascade, info = load_model(finished / "small.safetensors")
    assert len(cascade.levels) == 2
    assert info.training["steps"] == [6, 4]
    assert info.training["config"]["seed"] == 3
    assert info.training["patients"] == {"train": 1, "validate": 1}
    assert all(minutes >= 0 for minutes in info.training["minutes"])
    card = (finished / "small.md").read_text(encoding="utf-8")
    assert "level 2: 4 steps" in card
    assert card.count("by Muon") == 1
    assert f"precision {'bf16-mixed' if has_bfloat16() else '32'}, weights averaged" in card
    record = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    assert {"seed", "software_version", "commit", "torch"} <= set(record)
    assert (finished / "config.yaml").exists()
    for level in ("level1", "level2"):
        with (finished / level / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {"loss", "gain_db_dose_0.25", "gain_db_dose_0.10", "step"} <= set(rows[0])
        assert any((finished / "tensorboard" / level).iterdir())


def test_batch_norm_held_from_the_first_step_is_that_of_the_model_to_start_from(
    finished: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = CONFIG["levels"]  # type: ignore[misc]
    config = CONFIG | {"levels": [first | {"steps": 2, "hold_norm_from_step": 0}]}
    start = ["--start-from", str(finished / "small.safetensors")]
    assert main([*arguments(data, tmp_path / "held", config), "--quiet", *start]) == 0
    held, before = load_file(tmp_path / "held" / "small.safetensors"), load_file(finished / "small.safetensors")
    assert not torch.equal(held["networks.0.c1.weight"], before["networks.0.c1.weight"])
    for name in (name for name in held if "running" in name):
        torch.testing.assert_close(held[name], before[name], msg=name)
    assert main([*arguments(data, tmp_path / "none", config), "--quiet"]) == 1
    assert "keeps the batch norm of a model; give the model to start from" in capsys.readouterr().err


# Level 1 holds what two batches gave, level 2 tracks its four.
@pytest.mark.parametrize(("level", "batches"), [(1, 2), (2, 4)])
def test_every_level_learns_with_batch_statistics_until_they_are_held(finished: Path, level: int, batches: int) -> None:
    state = torch.load(finished / f"level{level}" / "last.ckpt", weights_only=False)["state_dict"]
    tracked = {name: int(value) for name, value in state.items() if name.endswith("num_batches_tracked")}
    assert len(tracked) == 5
    assert set(tracked.values()) == {batches}
    # What was held goes into the model; what was not is estimated anew.
    model = load_file(finished / "small.safetensors")
    running = [name for name in state if name.endswith("running_mean")]
    same = [torch.equal(state[name], model[name.removeprefix("cascade.")]) for name in running]
    assert same == [level == 1] * len(running)


def test_checkpoints_know_no_path_of_the_machine(finished: Path) -> None:
    for level in (1, 2):
        assert str(finished.parent).encode() not in (finished / f"level{level}" / "last.ckpt").read_bytes()


def test_a_run_starts_from_a_models_weights_and_can_keep_a_level(finished: Path, data: Path, tmp_path: Path) -> None:
    shipped = finished / "small.safetensors"
    first, second = (dict(level) for level in CONFIG["levels"])  # type: ignore[arg-type, attr-defined]
    config = CONFIG | {
        "levels": [first | {"steps": 0, "hold_norm_from_step": None}, second | {"learning_rate": 1e-9, "muon_rate": 0.0}]
    }
    out = tmp_path / "further"
    assert main([*arguments(data, out, config), "--quiet", "--start-from", str(shipped)]) == 0
    before, after = load_file(shipped), load_file(out / "small.safetensors")
    for name, tensor in before.items():
        if name.startswith("networks.0."):
            assert torch.equal(after[name], tensor), name
        elif name.endswith(".weight"):
            torch.testing.assert_close(after[name], tensor, atol=1e-6, rtol=0, msg=name)
    _, info = load_model(out / "small.safetensors")
    assert info.training["start_from"]["name"] == "small"
    assert "small" in (out / "small.md").read_text(encoding="utf-8")


def test_a_run_goes_on_with_the_model_that_it_was_started_from(
    finished: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, elsewhere, other = finished / "small.safetensors", tmp_path / "again.safetensors", tmp_path / "other.safetensors"
    cascade, info = load_model(model)
    save_model(cascade, replace(info, purpose="the same model, described in other words"), elsewhere)
    cascade.network(1).c1.bias += 1
    save_model(cascade, info, other)
    level = {"network": "drl", "predicts": "image", "steps": 2}

    def run(name: str, start: Path | None, *more: str) -> int:
        begin = ["--start-from", str(start)] if start else []
        return main([*arguments(data, tmp_path / name, CONFIG | {"levels": [level]}), "--quiet", *begin, *more])

    assert run("from a model", model) == 0
    for wrong in (None, other):
        assert run("from a model", wrong, "--resume") == 1
        assert "was started from another model; start from that one" in capsys.readouterr().err
    assert run("from a model", elsewhere, "--resume") == 0

    assert run("from none", None) == 0
    assert run("from none", model, "--resume") == 1
    assert "was started from no model; start from none" in capsys.readouterr().err
    file = tmp_path / "from none" / "run.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    del record["start_from"]  # as an older version wrote it
    file.write_text(json.dumps(record), encoding="utf-8")
    assert run("from none", model, "--resume") == 0


def test_targets_are_freed_of_the_noise_that_the_model_to_start_from_finds(
    finished: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    level = {"network": "drl", "predicts": "image", "steps": 2}
    config = CONFIG | {"levels": [level], "data": CONFIG["data"] | {"clean": 0.5}}  # type: ignore[operator]
    start = finished / "small.safetensors"
    cache = tmp_path / "cache"
    command = [*arguments(data, tmp_path / "run", config), "--quiet", "--cache", str(cache)]
    for more in ([], ["--dry-run"]):
        assert main([*command, *more]) == 1
        assert "give the model to start from" in capsys.readouterr().err
    # What was refused left no run behind.
    assert main([*command, "--start-from", str(start)]) == 0
    hu = read_volume(data / "anna.nrrd").hu
    found = [np.load(path) for path in cache.rglob("own_noise.npy")]  # of the training patient alone
    assert len(found) == 1
    np.testing.assert_array_equal(found[0], hu - Denoiser(str(start), "cpu", blend=0.5)(hu))


@pytest.mark.parametrize(
    ("levels", "start", "complaint"),
    [
        ([{"network": "cnn10", "predicts": "difference", "steps": 2}], True, "start from a model whose first levels"),
        ([{"network": "drl", "predicts": "image", "steps": 0}], False, "give the model to start from"),
        ([*CONFIG["levels"], {"network": "drl-difference", "predicts": "difference", "steps": 0}], True, "has no weights for it"),  # type: ignore[misc]
    ],
)
def test_a_model_that_does_not_fit_is_no_start(
    finished: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    levels: list[dict[str, object]],
    start: bool,
    complaint: str,
) -> None:
    command = arguments(data, tmp_path / "run", CONFIG | {"levels": levels})
    for more in ([], ["--dry-run"]):
        assert main([*command, *(["--start-from", str(finished / "small.safetensors")] if start else []), *more]) == 1
        assert complaint in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def averaged(steps: int, decay: float) -> dict[str, object]:
    level = {
        "network": "drl",
        "predicts": "image",
        "steps": steps,
        "learning_rate": 0.01,
        "average": decay,
        "loss": {"lesions": 0.5},
    }
    return CONFIG | {"levels": [level], "batch_norm_batches": 0}


def test_a_level_ends_with_the_average_of_its_weights_also_when_it_is_resumed(data: Path, tmp_path: Path) -> None:
    def weights(name: str, *decays: float) -> torch.Tensor:
        out = tmp_path / name
        for count, decay in enumerate(decays, 1):
            more = ["--resume"] if count > 1 else []
            assert main([*arguments(data, out, averaged(2 * count, decay)), "--quiet", *more]) == 0
        return load_file(out / "small.safetensors")["networks.0.c1.weight"]

    def whole(name: str, decay: float) -> torch.Tensor:
        out = tmp_path / name
        assert main([*arguments(data, out, averaged(4, decay)), "--quiet"]) == 0
        return load_file(out / "small.safetensors")["networks.0.c1.weight"]

    plain, mean = whole("plain", 0.0), whole("mean", 0.9)
    first = weights("first", 0.0)
    assert 0 < (mean - first).norm() < (plain - first).norm(), "an average lags behind the last weights"
    torch.testing.assert_close(weights("resumed", 0.9, 0.9), mean, atol=1e-6, rtol=0)


def test_a_run_without_averages_goes_on_with_them(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert main([*arguments(data, out, averaged(2, 0.0)), "--quiet"]) == 0
    before = load_file(out / "small.safetensors")
    assert main([*arguments(data, out, averaged(4, 0.9)), "--quiet", "--resume"]) == 0
    assert not torch.equal(load_file(out / "small.safetensors")["networks.0.c1.weight"], before["networks.0.c1.weight"])


def test_end_to_end_training_changes_every_level_and_can_be_resumed(finished: Path, data: Path, tmp_path: Path) -> None:
    first, second = CONFIG["levels"]  # type: ignore[misc]

    def run(name: str, *steps: int) -> Path:
        out = tmp_path / name
        for count, one in enumerate(steps):
            levels = [first | {"steps": 0}, second | {"steps": one, "end_to_end": True, "average": 0.5}]
            more = ["--start-from", str(finished / "small.safetensors"), *(["--resume"] if count else [])]
            assert main([*arguments(data, out, CONFIG | {"levels": levels}), "--quiet", *more]) == 0
        return out

    whole, resumed = run("whole", 4), run("resumed", 2, 4)
    tensors, before = load_file(whole / "small.safetensors"), load_file(finished / "small.safetensors")
    for level in (0, 1):
        assert not torch.equal(tensors[f"networks.{level}.c1.weight"], before[f"networks.{level}.c1.weight"])
    for name, tensor in load_file(resumed / "small.safetensors").items():
        torch.testing.assert_close(tensor, tensors[name], atol=1e-6, rtol=0, msg=name)
    assert "end to end with the levels before" in (whole / "small.md").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_model(finished: Path, data: Path, tmp_path: Path) -> None:
    assert main([*arguments(data, tmp_path / "again"), "--quiet"]) == 0
    again, first = (load_model(folder / "small.safetensors")[1] for folder in (tmp_path / "again", finished))
    assert again.model_hash == first.model_hash


@pytest.mark.parametrize("level", [1, 2])
def test_a_killed_and_resumed_training_equals_the_uninterrupted_one(
    finished: Path, data: Path, tmp_path: Path, level: int
) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "LDCTDenoiseLib", *arguments(data, out), "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    checkpoint = out / f"level{level}" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert checkpoint.exists()
    assert not (out / "small.safetensors").exists(), "the run was over before it could be killed"

    assert main([*arguments(data, out), "--quiet", "--resume"]) == 0
    resumed, whole = load_file(out / "small.safetensors"), load_file(finished / "small.safetensors")
    assert resumed.keys() == whole.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-6, rtol=0, msg=name)


def test_a_finished_run_can_go_on_with_more_steps(finished: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "longer"
    assert main([*arguments(data, out), "--quiet"]) == 0
    older = yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8"))
    del older["data"]["inserts"]  # as a version without that setting wrote it
    (out / "config.yaml").write_text(yaml.safe_dump(older), encoding="utf-8")
    further = CONFIG["levels"][0] | {"steps": 10, "learning_rate": 0.004, "last_layer_rate": 0.5}  # type: ignore[index, operator]
    other_patches = CONFIG["data"] | {"batch_size": 1, "slab": 2, "noise_from_elsewhere": 0.5}  # type: ignore[operator]
    longer = CONFIG | {"levels": [further, CONFIG["levels"][1]], "data": other_patches}  # type: ignore[index]
    assert main([*arguments(data, out, longer), "--quiet", "--resume"]) == 0
    state = torch.load(out / "level1" / "last.ckpt", weights_only=False)
    assert state["global_step"] == 10
    assert state["lr_schedulers"][0]["base_lrs"] == [0.004, 0.002]
    before, after = load_file(finished / "small.safetensors"), load_file(out / "small.safetensors")
    assert not torch.equal(before["networks.0.c3.weight"], after["networks.0.c3.weight"])
    assert torch.equal(before["networks.1.c3.weight"], after["networks.1.c3.weight"])
    with (out / "level1" / "metrics.csv").open(newline="") as file:
        rates = {int(row["step"]): float(row["learning_rate"]) for row in csv.DictReader(file)}
    assert list(rates) == [2, 4, 6, 8, 10]
    assert rates[8] == pytest.approx(0.004 * (1 + math.cos(0.8 * math.pi)) / 2, rel=1e-2)  # the new rates, not the checkpoint's


def test_a_run_can_go_on_with_another_schedule(data: Path, tmp_path: Path) -> None:
    def run(steps: int, *, schedule: str, more: bool) -> list[float]:
        level = {"network": "drl", "predicts": "image", "steps": steps, "schedule": schedule}
        out = tmp_path / "run"
        assert main([*arguments(data, out, CONFIG | {"levels": [level]}), "--quiet", *(["--resume"] if more else [])]) == 0
        with (out / "level1" / "metrics.csv").open(newline="") as file:
            return [float(row["learning_rate"]) for row in csv.DictReader(file)]

    assert run(4, schedule="constant", more=False) == [1e-3, 1e-3]
    in_cosine = [1e-3 * (1 + math.cos(math.pi * step / 8)) / 2 for step in (6, 8)]
    assert run(8, schedule="cosine", more=True) == pytest.approx([1e-3, 1e-3, *in_cosine], abs=1e-6)
    assert run(10, schedule="constant", more=True)[-1] == pytest.approx(1e-3)


def test_a_run_is_not_overwritten_or_mixed_with_another(
    finished: Path, data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hash_before = load_model(finished / "small.safetensors")[1].model_hash
    assert main(arguments(data, finished)) == 1
    assert "pass --resume" in capsys.readouterr().err
    assert main([*arguments(data, finished, CONFIG | {"seed": 4}), "--resume"]) == 1
    assert "holds a run of other networks, optimisers, patients or seed" in capsys.readouterr().err
    for change in ({"muon_rate": 0.0}, {"loss": {"adversarial": 0.1}}):
        other = CONFIG | {"levels": [CONFIG["levels"][0], CONFIG["levels"][1] | change]}  # type: ignore[index, operator]
        assert main([*arguments(data, finished, other), "--resume"]) == 1
        assert "optimisers" in capsys.readouterr().err
    assert load_model(finished / "small.safetensors")[1].model_hash == hash_before


def test_no_patient_trains_and_judges_in_a_resumed_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, pairs = tmp_path / "run", tmp_path / "pairs.csv"
    level = {"network": "wgan-vgg", "predicts": "image", "steps": 2}
    config = CONFIG | {"levels": [level], "data": {"patch_size": 16, "batch_size": 2}}

    def run(splits: dict[str, str], *more: str) -> int:
        lines = [f"{name},,{data / 'anna.nrrd'},{split}\n" for name, split in splits.items()]
        pairs.write_text("patient,low,full,split\n" + "".join(lines), encoding="utf-8")
        return main([*arguments(data, out, config), "--quiet", "--data", str(pairs), *more])

    def refused(splits: dict[str, str], sentence: str) -> None:
        assert run(splits, "--resume") == 1
        assert sentence in capsys.readouterr().err

    assert run({"a": "train", "b": "train", "c": "test"}) == 0
    refused({"a": "train", "b": "validate"}, "Patient b would both train and validate")
    refused({"a": "train", "c": "train"}, "Patient c would both train and test")
    assert run({"a": "train", "d": "train"}, "--resume") == 0
    refused({"a": "train", "b": "test"}, "Patient b would both train and test")  # though it was left out in between
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    del record["patients"]  # as an older version wrote it
    (out / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert run({"a": "train", "b": "test"}, "--resume") == 0
    (out / "run.json").write_text(json.dumps(record)[:-9], encoding="utf-8")
    refused({"a": "train", "b": "test"}, "run.json is damaged")


def test_training_on_pairs_with_the_perceptual_loss(data: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from LDCTDenoiseLib.training.losses.perceptual import VGG16Features

    torch.manual_seed(0)
    weights = tmp_path / "vgg.safetensors"
    save_file({key: value.contiguous() for key, value in VGG16Features(3).state_dict().items()}, weights)
    write_phantom(tmp_path / "low.nrrd", seed=9, dose=0.25)
    write_phantom(tmp_path / "full.nrrd", seed=0)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("patient,low,full,split\nanna,low.nrrd,full.nrrd,train\n", encoding="utf-8")
    loss = {"perceptual": 0.1, "vgg_blocks": 3}
    config = CONFIG | {
        "data": {"patch_size": 16, "batch_size": 2},
        "levels": [{"network": "drl", "predicts": "image", "steps": 4, "loss": loss}],
    }
    out = tmp_path / "run"
    assert main([*arguments(data, out, config), "--quiet", "--data", str(pairs), "--vgg-weights", str(weights)]) == 0
    _, info = load_model(out / "small.safetensors")
    assert info.training["data"] == "pairs of a CSV"


def test_training_lowers_the_loss(data: Path, tmp_path: Path) -> None:
    level = {"network": "drl", "predicts": "image", "steps": 60, "last_layer_rate": 0.02, "loss": {"noise_weighted": True}}
    settings = {"steps_per_epoch": 10, "levels": [level], "data": {"patch_size": 32, "batch_size": 4, "validate": ["bert"]}}
    out = tmp_path / "learning"
    assert main([*arguments(data, out, CONFIG | settings), "--quiet"]) == 0
    with (out / "level1" / "metrics.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    assert np.mean(losses[-2:]) < 0.8 * losses[0]


def test_validation_tells_noise_left_and_signal_kept(data: Path, tmp_path: Path) -> None:
    level = {"network": "drl", "predicts": "image", "steps": 2, "learning_rate": 1e-15}  # what comes in goes out
    assert main([*arguments(data, tmp_path / "run", CONFIG | {"levels": [level]}), "--quiet"]) == 0
    with (tmp_path / "run" / "level1" / "metrics.csv").open(newline="") as file:
        row = list(csv.DictReader(file))[-1]
    assert float(row["noise_left_p90"]) == pytest.approx(1, abs=1e-3)
    assert float(row["signal_kept_20_hu_4_mm"]) == pytest.approx(1, abs=1e-3)


def test_missing_training_data_end_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path / "missing", tmp_path / "run")) == 1
    assert "missing does not exist" in capsys.readouterr().err
