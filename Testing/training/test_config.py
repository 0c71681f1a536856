"""Training configurations: the shipped ones, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from LDCTDenoiseLib.errors import InputError, MissingExtraError
from LDCTDenoiseLib.models.cascade import SYSTEMS, Predicts
from LDCTDenoiseLib.models.level import Level
from LDCTDenoiseLib.system.extras import require_extra
from LDCTDenoiseLib.training.config import config_record, load_config
from LDCTDenoiseLib.training.shipped_configs import shipped_configs

MINIMAL_LEVEL = {"network": "drl", "predicts": "image", "steps": 5}
MINIMAL = {"name": "x", "purpose": "tests", "steps_per_epoch": 5, "levels": [MINIMAL_LEVEL]}


def write(folder: Path, record: object) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(record), encoding="utf-8")
    return path


def test_the_papers_training_has_the_papers_numbers() -> None:
    config = load_config("paper-c")
    assert tuple(level.level for level in config.levels) == SYSTEMS["C"]
    first, second = config.levels
    patches = 281_660
    assert first.steps == pytest.approx(15 * patches / config.data.batch_size, rel=0.001)
    assert second.steps == pytest.approx(10 * patches / config.data.batch_size, rel=0.001)
    assert (config.data.patch_size, config.data.batch_size) == (64, 32)
    assert {level.learning_rate for level in config.levels} == {1e-3}
    assert (first.loss.mse, first.loss.perceptual, first.loss.vgg_blocks) == (1.0, 0.1, 4)
    assert (second.loss.mse, second.loss.perceptual) == (1.0, 0.0)


PUBLISHED = {
    "paper-a": SYSTEMS["A"],
    "paper-b": SYSTEMS["B"],
    "paper-b-lp": SYSTEMS["B"],
    "paper-c": SYSTEMS["C"],
    "paper-c-lp": SYSTEMS["C"],
    "paper-d": SYSTEMS["D"],
    "paper-3level": SYSTEMS["3-level"],
    "paper-cnn10": (Level("cnn10", Predicts.DIFFERENCE),),
    "wu-cascade": SYSTEMS["Wu"],
    "drl-edge": (Level("drl-edge", Predicts.IMAGE),),
    "wgan-vgg": (Level("wgan-vgg", Predicts.IMAGE),),
    "redcnn": (Level("redcnn", Predicts.IMAGE),),
    "default": SYSTEMS["C"],
    "demo": SYSTEMS["C"],
}


def test_every_experiment_has_its_configuration() -> None:
    assert set(shipped_configs()) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shipped_configuration_is_named_after_its_file_and_makes_its_system(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    assert tuple(level.level for level in config.levels) == PUBLISHED[name]
    assert ("-lp" in name) == (config.levels[0].loss.mse == 0 and config.levels[0].loss.perceptual == 1)


def test_wgan_vgg_says_whose_features_it_learnt_from() -> None:
    config = load_config("wgan-vgg")
    assert "VGG-16 features in place of VGG-19" in config.purpose
    assert config.levels[0].loss.adversarial > 0


def test_the_shipped_models_training_keeps_the_test_patients_out() -> None:
    config = load_config("default")
    assert tuple(level.level for level in config.levels) == SYSTEMS["C"]
    assert {name.split("_")[1] for name in config.data.test} == {"CRLM-CT-1006", "TCGA-THCA", "QIN-LUNG-CT"}
    assert {name.split("_")[1] for name in config.data.validate} == {"CRLM-CT-1004", "QIN-LUNG-CT"}
    assert not set(config.data.test) & set(config.data.validate)


def test_a_configuration_survives_its_record(tmp_path: Path) -> None:
    config = load_config("default")
    assert load_config(write(tmp_path, config_record(config))) == config


def test_defaults_fill_what_is_left_out(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    assert config.levels[0].predicts is Predicts.IMAGE
    assert config.data.patch_size == 64


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"nmae": "x"}, "unknown setting 'nmae'"),
        ({"levels": []}, "levels is empty"),
        ({"levels": "drl"}, "must be a list"),
        ({"levels": [{"network": "drl", "predicts": "image"}]}, "lacks the setting 'steps'"),
        ({"levels": [{"network": "unet", "predicts": "image", "steps": 5}]}, "network must be one of drl"),
        ({"levels": [MINIMAL_LEVEL | {"sees": "previous and original"}]}, "the network drl cannot see previous and original"),
        ({"levels": [{"network": "drl", "predicts": "noise", "steps": 5}]}, "image or difference, not 'noise'"),
        ({"levels": [{"network": "drl", "predicts": "image", "steps": 5.5}]}, "steps must be of type int"),
        ({"levels": [{"network": "drl", "predicts": "image", "steps": True}]}, "steps must be of type int"),
        (
            {"levels": [{"network": "drl", "predicts": "image", "steps": 5, "schedule": "fast"}]},
            "schedule must be one of constant, cosine, step",
        ),
        ({"levels": [{"network": "drl", "predicts": "image", "steps": 5, "loss": {"mse": 0}}]}, "the loss has no term"),
        ({"levels": [MINIMAL_LEVEL | {"precision": "fp8"}]}, "precision must be one of 32, bf16-mixed, 16-mixed"),
        ({"levels": [MINIMAL_LEVEL | {"schedule": "step"}]}, "schedule step and drop_at go together"),
        ({"levels": [MINIMAL_LEVEL | {"hold_norm_from_step": 3}]}, "hold_norm_from_step must be a multiple of steps_per_epoch"),
        (
            {"batch_norm_batches": 0, "levels": [MINIMAL_LEVEL | {"hold_norm_from_step": 250}]},
            "hold_norm_from_step needs batch_norm_batches",
        ),
        ({"levels": [MINIMAL_LEVEL | {"weights": "mean"}]}, "weights must be last or best"),
        ({"levels": [MINIMAL_LEVEL | {"gradient_clip": -1}]}, "gradient_clip must not be negative"),
        ({"levels": [MINIMAL_LEVEL | {"precision": "bf16-mixed", "loss": {"adversarial": 1}}]}, 'needs precision "32"'),
        (
            {"data": {"patch_size": 36}, "levels": [MINIMAL_LEVEL | {"loss": {"adversarial": 1}}]},
            r"needs a patch_size \(36\) that is a multiple of 8",
        ),
        ({"levels": [MINIMAL_LEVEL | {"betas": [0.9, 1.0]}]}, "betas must be 0 or more and below 1"),
        ({"seed": -1}, "seed -1 must be 0 to 4294967295"),
        ({"seed": 2**32}, "seed 4294967296 must be 0 to 4294967295"),
        ({"validation_window": "lung"}, "validation_window must be one of C50/W400"),
        ({"steps_per_epoch": 3}, "multiple of steps_per_epoch"),
        ({"steps_per_epoch": 0}, "steps_per_epoch must be above 0"),
        ({"data": {"dose_range": [0.5, 0.1]}}, "dose_range"),
        ({"data": {"dose_range": [0.5]}}, "must have 2 values"),
        ({"data": {"patch_size": 0}}, "above 0"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load_config(write(tmp_path, MINIMAL | change))


def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("levels: [", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        load_config(path)
    with pytest.raises(InputError, match=r"neither a file nor a shipped configuration .*default, demo"):
        load_config(tmp_path / "missing.yaml")


def test_a_missing_extra_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match=r"no_such_package.*pip install 'ldctdenoise\[train\]'"), require_extra("train"):
        import no_such_package  # noqa: F401
