"""What a training run is: read from one YAML file, kept with the run and in the model."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..measures.image_quality import ABDOMEN, WINDOWS, Window
from ..models.architectures import NETWORKS
from ..models.level import Level, Predicts, Sees
from ..system.extras import require_extra
from .patches.noise_cache import Variety
from .shipped_configs import find_config

SCHEDULES = ("constant", "cosine", "step")
PRECISIONS = ("32", "bf16-mixed", "16-mixed")
"""By Lightning's names."""
WINDOWS_BY_NAME = {window.name: window for window in WINDOWS}


@dataclass(frozen=True)
class LossConfig:
    """Loss of one level: ``mse * MSE + perceptual * L_P + ...``, means over pixels and batch, in network units.

    Attributes:
        mse: weight of the mean squared error.
        perceptual: weight of the VGG-16 feature loss L_P; 0 leaves it out.
        perceptual_from_step: first step that counts L_P; before it the MSE alone leads, at half the cost of a step.
        vgg_blocks: how many of VGG-16's blocks, from the first, L_P sums over (the paper: 4).
        vgg_window: [low, high] HU that VGG sees as [0, 1].
        noise_weighted: divide each patch's loss by (SD of its inserted noise)^2 / 4 + (3 HU)^2, so that a batch of mixed
            doses is not ruled by its noisiest patches.
        lesions: weight of the response to small discs that are added to a quarter of the patches, unless their noise hides them
            (``losses/lesion_response.py``); 0 leaves it out. Never divided by the noise.
        adversarial: weight of a Wasserstein critic's opinion of the result (``adversarial.py``); 0 leaves it out.
        critic_steps: batches that the critic learns from for each that the network learns from.
        gradient_penalty: weight of the critic's gradient penalty.
    """

    mse: float = 1.0
    perceptual: float = 0.0
    perceptual_from_step: int = 0
    vgg_blocks: int = 4
    vgg_window: tuple[float, float] = (-1024.0, 3071.0)
    noise_weighted: bool = False
    lesions: float = 0.0
    adversarial: float = 0.0
    critic_steps: int = 4
    gradient_penalty: float = 10.0


@dataclass(frozen=True)
class LevelConfig:
    """One level of the cascade and how it is trained.

    Attributes:
        network: as in ``cascade.Level``.
        predicts: as in ``cascade.Level``.
        steps: optimiser steps.
        sees: as in ``cascade.Level``.
        learning_rate: of Adam.
        betas: of Adam.
        last_layer_rate: learning rate of the last convolution, as a share of the others'. Its weights act directly in
            units of 4,095 HU, so that steps that suit the other layers shake the result by tens of HU.
        muon_rate: learning rate of Muon for the hidden convolutions, in place of Adam; 0 leaves them to Adam. Muon makes each
            update orthogonal, so that weak directions, such as those that tell edges from noise, learn as fast as strong ones.
        schedule: "constant", "cosine" down to zero over the steps, or "step": a tenth from each step of ``drop_at`` on.
        drop_at: steps of the "step" schedule.
        gradient_clip: longest gradient (2-norm) that is not shortened; 0 shortens none.
        weights: "last", or "best": those of the epoch with the highest validation PSNR.
        patience: epochs without a higher validation PSNR after which the level ends; 0 takes all steps.
        hold_norm_from_step: from this step on, batch norm's statistics are estimated over ``batch_norm_batches`` batches and
            held, and the weights settle to what inference uses; None estimates them at the level's end. 0 holds those of the
            model to start from.
        end_to_end: the levels before learn too, by this level's rates and loss, which then counts their results as well; their
            batch norm keeps its statistics.
        average: decay of the exponential moving average of the weights that the level ends with; 0 averages none.
        precision: one of ``PRECISIONS``. A difference level wants "32": what is left to
            predict is no larger than bfloat16's rounding. A CPU without bfloat16 takes float32.
        loss: the level's loss.
    """

    network: str
    predicts: Predicts
    steps: int
    sees: Sees = Sees.PREVIOUS
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    last_layer_rate: float = 1.0
    muon_rate: float = 0.0
    schedule: str = "constant"
    drop_at: tuple[int, ...] = ()
    gradient_clip: float = 0.0
    weights: str = "last"
    patience: int = 0
    hold_norm_from_step: int | None = None
    end_to_end: bool = False
    average: float = 0.0
    precision: str = "32"
    loss: LossConfig = field(default_factory=LossConfig)

    @property
    def level(self) -> Level:
        return Level(self.network, self.predicts, self.sees)


@dataclass(frozen=True)
class DataConfig:
    """Patches, doses and the split.

    Attributes:
        patch_size: side of a training patch in pixels.
        batch_size: patches in a step.
        dose_range: [lowest, highest] dose fraction of the inserted noise, drawn log-uniformly.
        full_dose: chance that nothing is inserted: a scan at its own dose is to come out as it went in.
        electronics: chance that a patch has electronic noise too, which makes streaks where the detector is starved.
        versions: times that each training slice is prepared.
        zoom: [lowest, highest] factor on its matrix, drawn for each block of slices: pixels of other sizes.
        girth: [lowest, highest] factor on the line integrals of its noise: wider and slimmer bodies.
        inserts: chance of each of three ellipses of known contrast in a patch (``inserts.py``); 0 adds none.
        slab: most neighbouring slices whose mean is the normal dose, drawn uniformly from 1; a mean has less noise of its own.
            Of volumes that get their noise inserted.
        noise_from_elsewhere: chance that a patch gets the inserted noise of another place, of any such volume, if it is louder
            there.
        clean: share of the scans' own noise that targets are freed of, as the model finds it that the run starts from; of
            volumes that get their noise inserted.
        kernel_by_pixel: chance that a kernel's cut-off is drawn in cycles per pixel, where scans' kernels lie, instead of per mm.
        own_kernel: chance that inserted noise has the texture that the scan's own shows, instead of any kernel's.
        validate: patients (file names without suffix) kept from training, when the data are a folder.
        test: the same.
    """

    patch_size: int = 64
    batch_size: int = 32
    dose_range: tuple[float, float] = (0.05, 0.5)
    full_dose: float = 0.0
    electronics: float = 0.0
    versions: int = 1
    zoom: tuple[float, float] = (1.0, 1.0)
    girth: tuple[float, float] = (1.0, 1.0)
    inserts: float = 0.0
    slab: int = 1
    noise_from_elsewhere: float = 0.0
    clean: float = 0.0
    kernel_by_pixel: float = 0.0
    own_kernel: float = 0.0
    validate: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    @property
    def variety(self) -> Variety:
        return Variety(self.versions, self.zoom, self.girth)


@dataclass(frozen=True)
class TrainingConfig:
    """A training run.

    Attributes:
        name: of the model that it makes.
        purpose: one line that says what the model is for.
        levels: first to last.
        data: patches, doses and split.
        seed: of the initial weights, the patches and the noise.
        steps_per_epoch: steps between two validations and checkpoints.
        batch_norm_batches: batches over which batch norm's statistics are estimated anew at a level's end; 0 keeps the
            running ones.
        validation_window: display window of the validation's PSNR, by its name in ``measures.image_quality.WINDOWS``.
        sources: where the data come from and under which licence, for the model's card.
    """

    name: str
    purpose: str
    levels: tuple[LevelConfig, ...]
    data: DataConfig = field(default_factory=DataConfig)
    seed: int = 1
    steps_per_epoch: int = 250
    batch_norm_batches: int = 200
    validation_window: str = ABDOMEN.name
    sources: str = ""

    @property
    def window(self) -> Window:
        return WINDOWS_BY_NAME[self.validation_window]

    def __post_init__(self) -> None:
        low, high = self.data.dose_range
        checks = [
            (len(self.levels) > 0, "levels is empty; list at least one"),
            (0 < low <= high <= 1, f"dose_range {[low, high]} must lie between 0 and 1, lowest first"),
            (0 <= self.data.full_dose <= 1, f"full_dose {self.data.full_dose:g} must be 0 to 1"),
            (0 <= self.data.electronics <= 1, f"electronics {self.data.electronics:g} must be 0 to 1"),
            (self.data.versions >= 1, f"versions {self.data.versions} must be 1 or more"),
            *(
                (0 < limits[0] <= limits[1], f"{name} {list(limits)} must be above 0, lowest first")
                for name, limits in (("zoom", self.data.zoom), ("girth", self.data.girth))
            ),
            (0 <= self.data.inserts <= 1, f"inserts {self.data.inserts:g} must be 0 to 1"),
            (self.data.slab >= 1, f"slab {self.data.slab} must be 1 or more"),
            (
                0 <= self.data.noise_from_elsewhere <= 1,
                f"noise_from_elsewhere {self.data.noise_from_elsewhere:g} must be 0 to 1",
            ),
            (0 <= self.data.kernel_by_pixel <= 1, f"kernel_by_pixel {self.data.kernel_by_pixel:g} must be 0 to 1"),
            (0 <= self.data.own_kernel <= 1, f"own_kernel {self.data.own_kernel:g} must be 0 to 1"),
            (0 <= self.data.clean <= 1, f"clean {self.data.clean:g} must be 0 to 1"),
            (self.data.patch_size > 0 and self.data.batch_size > 0, "patch_size and batch_size must be above 0"),
            (0 <= self.seed < 2**32, f"seed {self.seed} must be 0 to {2**32 - 1}"),
            (self.steps_per_epoch > 0, "steps_per_epoch must be above 0"),
            (self.batch_norm_batches >= 0, "batch_norm_batches must not be negative"),
            (self.validation_window in WINDOWS_BY_NAME, f"validation_window must be one of {', '.join(WINDOWS_BY_NAME)}"),
        ]
        for number, level in enumerate(self.levels, 1):
            loss = level.loss
            checks += [
                (level.network in NETWORKS, f"level {number}: network must be one of {', '.join(NETWORKS)}"),
                (
                    level.network not in NETWORKS or NETWORKS[level.network].input_channels == level.sees.channels,
                    f"level {number}: the network {level.network} cannot see {level.sees.value}; change sees or the network",
                ),
                (level.steps >= 0, f"level {number}: steps must not be negative"),
                (0 <= level.average < 1, f"level {number}: average must be 0 or more and below 1"),
                (not level.end_to_end or number > 1, "level 1: end_to_end needs a level before"),
                (not (level.end_to_end and loss.adversarial), f"level {number}: end_to_end and adversarial do not go together"),
                (loss.lesions >= 0, f"level {number}: lesions must not be negative"),
                (not (loss.lesions and loss.adversarial), f"level {number}: lesions and adversarial do not go together"),
                # A checkpoint in mid-epoch could not be resumed exactly.
                (
                    level.steps % max(1, self.steps_per_epoch) == 0,
                    f"level {number}: steps ({level.steps}) must be a multiple of steps_per_epoch ({self.steps_per_epoch})",
                ),
                (level.schedule in SCHEDULES, f"level {number}: schedule must be one of {', '.join(SCHEDULES)}"),
                (level.precision in PRECISIONS, f"level {number}: precision must be one of {', '.join(PRECISIONS)}"),
                ((level.schedule == "step") == bool(level.drop_at), f"level {number}: schedule step and drop_at go together"),
                (
                    level.hold_norm_from_step is None
                    or level.hold_norm_from_step % max(1, self.steps_per_epoch) == 0 <= level.hold_norm_from_step,
                    f"level {number}: hold_norm_from_step must be a multiple of steps_per_epoch ({self.steps_per_epoch})",
                ),
                (
                    level.hold_norm_from_step is None or self.batch_norm_batches > 0,
                    f"level {number}: hold_norm_from_step needs batch_norm_batches above 0",
                ),
                (level.learning_rate > 0, f"level {number}: learning_rate must be above 0"),
                (all(0 <= beta < 1 for beta in level.betas), f"level {number}: betas must be 0 or more and below 1"),
                (level.muon_rate >= 0, f"level {number}: muon_rate must not be negative"),
                (level.gradient_clip >= 0, f"level {number}: gradient_clip must not be negative"),
                (level.weights in ("last", "best"), f"level {number}: weights must be last or best"),
                (level.patience >= 0, f"level {number}: patience must not be negative"),
                (loss.mse > 0 or loss.perceptual > 0 or loss.adversarial > 0, f"level {number}: the loss has no term"),
                (loss.critic_steps > 0, f"level {number}: critic_steps must be above 0"),
                # The critic's updates are steps of their own, without the trainer's help.
                (
                    not loss.adversarial or (level.gradient_clip == 0 and level.precision == "32"),
                    f'level {number}: an adversarial loss needs precision "32" and no gradient_clip',
                ),
                # The critic halves a patch three times.
                (
                    not loss.adversarial or self.data.patch_size % 8 == 0,
                    f"level {number}: an adversarial loss needs a patch_size ({self.data.patch_size}) that is a multiple of 8",
                ),
                (1 <= loss.vgg_blocks <= 4, f"level {number}: vgg_blocks must be 1 to 4"),
                (loss.vgg_window[0] < loss.vgg_window[1], f"level {number}: vgg_window must be [low, high]"),
            ]
        for good, complaint in checks:
            if not good:
                raise InputError(f"The training configuration is wrong: {complaint}.")


def load_config(path: str | os.PathLike[str]) -> TrainingConfig:
    """Read and check a training configuration.

    Args:
        path: a shipped configuration's name, or a YAML file.

    Raises:
        InputError: the file is missing, is not YAML, or has a wrong or unknown setting.
        MissingExtraError: the ``train`` extra is not installed.
    """
    with require_extra("train"):
        import yaml
    file = find_config(path)
    try:
        record = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"The configuration {path} cannot be read: {str(error).splitlines()[0]}.") from error
    return _build(TrainingConfig, record, "the configuration")


def config_record(config: TrainingConfig) -> dict[str, Any]:
    """The configuration as plain lists, dictionaries, strings and numbers, as it stands in YAML and JSON."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return getattr(value, "value", value)

    return plain(config)


def _build(kind: Any, value: Any, where: str) -> Any:
    """Turn plain YAML into the given type, naming the place of anything that does not fit."""
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if isinstance(kind, types.UnionType):  # int | None
        if value is None:
            return None
        kind = typing.get_args(kind)[0]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where} must be a list, not {value!r}.")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise InputError(f"{where} must have {len(kinds)} values, not {len(value)}.")
        return tuple(_build(k, v, f"{where}, item {i}") for i, (k, v) in enumerate(zip(kinds, value, strict=True), 1))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and issubclass(kind, (Predicts, Sees)):
        try:
            return kind(value)
        except ValueError:
            raise InputError(f"{where} must be {' or '.join(k.value for k in kind)}, not {value!r}.") from None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InputError(f"{where} must be of type {getattr(kind, '__name__', kind)}, not {value!r}.")
    return value


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a mapping of settings, not {value!r}.")
    hints = typing.get_type_hints(kind)
    unknown = [key for key in value if key not in hints]
    if unknown:
        raise InputError(f"{where} has an unknown setting '{unknown[0]}'; known are {', '.join(hints)}.")
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.name not in value and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InputError(f"{where} lacks the setting '{missing[0]}'.")
    return kind(**{key: _build(hints[key], item, f"{where}: {key}") for key, item in value.items()})
