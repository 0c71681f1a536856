"""The paper's systems in parts: steps from a budget, trained once, resumed exactly, kept as small files."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from benchmarks.paper_results.parts import PARTS, Part
from benchmarks.paper_results.patients import DOSES, SLICES, prepare_patients
from benchmarks.paper_results.perceptual_weight import weight_on_the_mse_scale
from benchmarks.paper_results.plan import EPOCHS, SECONDS, Granted, grant, hours, part_config, plan_text, read_steps, validations
from benchmarks.paper_results.systems import SYSTEMS
from benchmarks.paper_results.train_parts import Training, finished, train_parts
from benchmarks.paper_results.weights import assemble, read_record, weights_file
from LDCTDenoiseLib.data.pairs_csv import read_pairs
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.inference.engine import Denoiser
from LDCTDenoiseLib.models.cascade import Cascade
from LDCTDenoiseLib.models.level import Level, Predicts
from LDCTDenoiseLib.models.model_file import load_model
from LDCTDenoiseLib.training.config import DataConfig, LossConfig, TrainingConfig, load_config
from LDCTDenoiseLib.training.level_training import LevelTraining
from LDCTDenoiseLib.training.patches.cases import load_cases
from Testing.training.test_patches import write_phantom

SPLIT = DataConfig(validate=("bert",), test=("carl",))
SHIPPED = load_config("default").data


def tiny(config: TrainingConfig) -> TrainingConfig:
    """Seconds instead of an hour, and without VGG."""
    levels = tuple(replace(one, steps=one.steps and 4, loss=LossConfig(), precision="32") for one in config.levels)
    data = replace(config.data, patch_size=16, batch_size=2)
    return replace(config, levels=levels, data=data, steps_per_epoch=2, batch_norm_batches=2)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the low doses of three patients, and the CSV."""
    folder = tmp_path_factory.mktemp("parts")
    (folder / "data").mkdir()
    for seed, name in enumerate(("anna", "bert", "carl")):
        write_phantom(folder / "data" / f"{name}.nrrd", seed=seed, slices=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.paper_results.patients.NARROWEST", 64)
        prepare_patients(folder / "data", SPLIT, folder / "patients")
    return folder


def training(work: Path, folder: Path) -> Training:
    granted = {name: Granted(1.0, EPOCHS) for name in PARTS}
    return Training(
        work / "patients" / "pairs.csv", SPLIT, folder / "runs", work / "cache", folder / "weights", granted, tune=tiny
    )


@pytest.fixture(scope="module")
def trained(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of A, and of D, which begins like A."""
    folder = tmp_path_factory.mktemp("trained")
    assert train_parts(training(work, folder), ["a-1", "a-2", "d-2"]) == {}
    return folder


def test_each_system_has_the_whole_budget() -> None:
    for system in SYSTEMS:
        own = {name: PARTS[name] for name in system.parts}
        for part in list(own.values()):
            own |= {name: PARTS[name] for name in part.needs}
        assert sum(part.share for part in own.values()) == pytest.approx(1), system.name
        recipe = load_config(system.config)
        assert len(system.parts) == len(recipe.levels)
        for index, name in enumerate(system.parts):
            config = part_config(PARTS[name], EPOCHS, SHIPPED)
            assert config.levels[index].level == recipe.levels[index].level
    assert {name for system in SYSTEMS for part in system.parts for name in (part, *PARTS[part].needs)} <= set(PARTS)


def test_a_part_comes_after_what_it_needs() -> None:
    order = list(PARTS)
    for part in PARTS.values():
        assert all(order.index(name) < order.index(part.name) for name in part.needs)


def test_steps_fill_the_share_of_the_budget() -> None:
    granted = grant(0.6, 2.0)
    assert granted.steps == 0.6 * SECONDS / 2
    assert grant(0.6, 2.01).steps == 800  # 805 is no multiple of the epochs
    assert grant(0.1, 1e6).steps == EPOCHS


@pytest.mark.parametrize(("steps", "count"), [(1410, 10), (300, 10), (180, 6), (90, 3), (110, 2), (40, 1), (10, 1)])
def test_short_parts_are_validated_less_often(steps: int, count: int) -> None:
    assert validations(steps) == count


def test_the_committed_steps_cost_every_system_the_same() -> None:
    granted = read_steps()
    for system in SYSTEMS:
        names = {name for part in system.parts for name in (part, *PARTS[part].needs)}
        assert hours(sorted(names), granted) * 3600 == pytest.approx(SECONDS, rel=0.15), system.name


def test_the_plan_tells_what_is_left() -> None:
    granted = {name: Granted(3.6, 1000) for name in PARTS}
    text = plan_text(granted, [name for name in PARTS if name != "a-1"])
    assert f"{len(PARTS)}.0 processor hours in all, {len(PARTS) - 1}.0 left" in text
    assert next(line for line in text.splitlines() if line.startswith("a-1")).endswith("finished")


def test_steps_that_are_not_told_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--measure-steps"):
        read_steps(tmp_path / "steps.json")


def test_only_losses_and_networks_differ() -> None:
    """Rates, batches, patients and precision are the same for all networks with batch norm."""
    alike = [part for part in PARTS.values() if part.config not in ("redcnn", "wgan-vgg")]
    for one, other in itertools.pairwise(alike):
        first, second = (part_config(part, EPOCHS, SHIPPED) for part in (one, other))
        assert replace(first.data) == second.data
        a, b = first.levels[-1], second.levels[-1]
        assert (a.learning_rate, a.last_layer_rate, a.betas, a.schedule, a.weights) == (
            b.learning_rate,
            b.last_layer_rate,
            b.betas,
            b.schedule,
            b.weights,
        )


def test_patients_are_judged_at_every_dose_and_trained_on_as_scanned(work: Path) -> None:
    pairs = read_pairs(work / "patients" / "pairs.csv")
    assert [pair.patient for pair in pairs if pair.split == "train"] == ["anna"]
    assert all((pair.low is None) == (pair.split == "train") for pair in pairs)
    for split, name in (("validate", "bert"), ("test", "carl")):
        assert [pair.patient for pair in pairs if pair.split == split] == [name] * len(DOSES)
    assert SLICES["validate"] == 2


def test_what_is_finished_is_not_trained_again(work: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.paper_results.train_parts.train", lambda *_, **__: pytest.fail("trained again"))
    how = training(work, trained)
    assert finished(how.weights) == ["a-1", "a-2", "d-2"]
    assert train_parts(how, ["a-1", "a-2", "d-2"]) == {}
    assert train_parts(training(work, trained / "nothing left"), []) == {}


def test_a_part_whose_beginning_is_missing_is_told(work: Path, tmp_path: Path) -> None:
    assert train_parts(training(work, tmp_path), ["d-2"]) == {"d-2": "needs a-1"}


def test_another_process_trains_the_parts_that_are_not_taken(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = training(work, tmp_path)
    trained: list[str] = []

    def finish(part: Part, how: Training) -> None:
        if part.name == "a-1":  # meanwhile
            assert train_parts(how, ["a-1", "b-1", "d-2"]) == {}
        how.weights.mkdir(exist_ok=True)
        weights_file(how.weights, part.name).touch()
        trained.append(part.name)

    monkeypatch.setattr("benchmarks.paper_results.train_parts._train_part", finish)
    assert train_parts(how, ["a-1", "b-1", "d-2", "c-lp-2"]) == {"c-lp-2": "needs b-lp-1"}
    assert trained == ["b-1", "a-1", "d-2"]


def test_a_killed_part_goes_on_to_the_same_weights(
    work: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = LevelTraining.training_step
    steps = itertools.count()

    def stops(self: LevelTraining, *arguments: object) -> torch.Tensor:
        if next(steps) == 3:  # in the second epoch
            raise KeyboardInterrupt
        return whole(self, *arguments)  # type: ignore[arg-type]

    how = training(work, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(LevelTraining, "training_step", stops)
        with pytest.raises(KeyboardInterrupt):
            train_parts(how, ["a-1"])
    assert finished(how.weights) == []
    assert train_parts(how, ["a-1"]) == {}
    again, first = (load_file(weights_file(folder, "a-1")) for folder in (how.weights, trained / "weights"))
    for name, tensor in first.items():
        np.testing.assert_array_equal(again[name], tensor, err_msg=name)


ENDLESS = """
import sys, time
from pathlib import Path
from Testing.benchmarks import test_paper_parts as parts
def endless(*arguments):
    while True:
        time.sleep(0.01)
parts.LevelTraining.training_step = endless
parts.train_parts(parts.training(Path(sys.argv[1]), Path(sys.argv[2])), ["a-1"], minutes=2 / 60)
"""


# In a process of its own, as it is used: an exception out of a signal's handler may end a process full of other libraries.
def test_the_minutes_end_a_training(work: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENDLESS, str(work), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert done.stderr.strip().endswith("KeyboardInterrupt"), done.stderr


def test_weights_are_kept_in_half_the_bytes_and_load_as_float32(trained: Path, tmp_path: Path) -> None:
    path = weights_file(trained / "weights", "a-1")
    kinds = {name: tensor.dtype for name, tensor in load_file(path).items()}
    assert {str(kind) for name, kind in kinds.items() if load_file(path)[name].ndim > 1} == {"float16"}
    model = tmp_path / "model.safetensors"
    assemble([path], model, "A.")
    cascade, _ = load_model(model)
    exact, _ = load_model(trained / "runs" / "a-1" / "a-1.safetensors")
    for name, tensor in exact.state_dict().items():
        assert cascade.state_dict()[name].dtype == tensor.dtype
        np.testing.assert_allclose(cascade.state_dict()[name].numpy(), tensor.numpy(), rtol=1e-3, atol=1e-6, err_msg=name)
    assert path.stat().st_size < 500_000


def test_a_later_level_keeps_the_earlier_one(trained: Path, tmp_path: Path) -> None:
    first = load_file(weights_file(trained / "weights", "a-1"))
    whole = load_file(trained / "runs" / "d-2" / "d-2.safetensors")
    for name, tensor in first.items():
        np.testing.assert_array_equal(whole[f"networks.0.{name}"], tensor.astype(whole[f"networks.0.{name}"].dtype))
    assemble([weights_file(trained / "weights", name) for name in ("a-1", "d-2")], tmp_path / "d.safetensors", "D.")
    low = np.random.default_rng(0).normal(0, 30, (1, 64, 64)).astype(np.float32)
    assert Denoiser(tmp_path / "d.safetensors", "cpu")(low).shape == low.shape


def test_a_parts_file_tells_how_it_was_trained(trained: Path) -> None:
    record = read_record(weights_file(trained / "weights", "a-2"))
    assert (record["part"], record["needs"], record["seed"], record["steps"]) == ("a-2", ["a-1"], 2, 4)
    assert [step for step, _ in record["validation_psnr_db"]] == [2, 4]
    assert record["kept_step"] in (2, 4)


def test_a_damaged_file_of_weights_is_told(tmp_path: Path) -> None:
    (tmp_path / "a-1.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="damaged"):
        read_record(tmp_path / "a-1.safetensors")


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_the_weight_is_the_ratio_of_the_gradients(work: Path, factor: float) -> None:
    """A loss that is the MSE in other units weighs what brings it back."""
    config = tiny(part_config(PARTS["a-1"], EPOCHS, SPLIT))
    cases = load_cases(work / "patients" / "pairs.csv", config.data, ("train",), cache=work / "cache", seed=1)["train"]
    cascade = Cascade([Level("drl-difference", Predicts.DIFFERENCE)]).eval()
    squared: Callable[..., torch.Tensor] = lambda hu, full: factor * (hu - full).square().mean(dim=(1, 2, 3)) / 4095**2  # noqa: E731
    assert weight_on_the_mse_scale(cascade, squared, cases, config.data, batches=1) == pytest.approx(1 / factor, rel=0.02)  # type: ignore[arg-type]
