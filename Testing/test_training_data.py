"""Training data: cases, split, prepared noise and patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.simulation import simulate_low_dose
from LDCTDenoiseLib.simulation.phantom import make_phantom
from LDCTDenoiseLib.training import noise_cache
from LDCTDenoiseLib.training.cases import CSV_COLUMNS, Case, Degradation, NoiseInsertedCase, PairedCase, load_cases
from LDCTDenoiseLib.training.config import DataConfig
from LDCTDenoiseLib.training.noise_cache import PreparedVolume, prepare
from LDCTDenoiseLib.training.patches import PatchBatches, ValidationSlices
from LDCTDenoiseLib.volumes import read_volume

EVERYTHING = (slice(None), slice(None), slice(None))
SIZE = 96


def write_phantom(path: Path, *, seed: int = 0, dose: float = 1.0, slices: int = 2) -> Path:
    phantom = make_phantom(slices, SIZE)
    image = sitk.GetImageFromArray(phantom.scan(dose, seed=seed, device="cpu"))
    image.SetSpacing((*phantom.spacing, 5.0))
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("anna", "bert", "carl")):
        write_phantom(folder / f"{name}.nrrd", seed=seed)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def write_csv(folder: Path, *rows: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join([",".join(CSV_COLUMNS), *rows]) + "\n", encoding="utf-8")
    return path


def test_prepared_noise_is_the_simulations_noise(data: Path, cache: Path) -> None:
    volume = read_volume(data / "anna.nrrd")
    case = NoiseInsertedCase(prepare(volume, cache, seed=5, device="cpu"))
    for sharp_share, kernel in ((0.0, "soft"), (1.0, "sharp")):
        full, low = case.region(EVERYTHING, Degradation(0.1, sharp_share))
        expected = simulate_low_dose(volume.hu.astype(np.float32), volume.spacing, 0.1, kernel=kernel, seed=5, device="cpu")
        np.testing.assert_array_equal(full, volume.hu)
        np.testing.assert_allclose(low, expected, rtol=2e-3, atol=0.5)  # the cache holds float16


def test_preparing_again_reads_the_cache(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = read_volume(data / "anna.nrrd")
    first = prepare(volume, tmp_path, seed=5, device="cpu")
    monkeypatch.setattr(noise_cache, "ray_noise", None)
    np.testing.assert_array_equal(prepare(volume, tmp_path, seed=5, device="cpu").noise, first.noise)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interrupted_preparation_leaves_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(noise_cache.np, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        prepare(read_volume(data / "anna.nrrd"), tmp_path, seed=5, device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_split_by_the_configuration(data: Path, cache: Path) -> None:
    config = DataConfig(validate=("bert",), test=("carl",))
    cases = load_cases(data, config, ("train", "validate"), cache=cache, seed=1, device="cpu")
    assert {split: len(members) for split, members in cases.items()} == {"train": 1, "validate": 1}
    expected = read_volume(data / "anna.nrrd").hu
    np.testing.assert_array_equal(cases["train"][0].region(EVERYTHING, Degradation(0.5, 0))[0], expected)


def test_test_patients_are_not_even_read(data: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "anna.nrrd").symlink_to(data / "anna.nrrd")
    (tmp_path / "secret.nrrd").write_bytes(b"not a volume")
    load_cases(tmp_path, DataConfig(test=("secret",)), ("train", "validate"), cache=cache, seed=1, device="cpu")


def test_csv_pairs_and_normal_dose_volumes_mix(tmp_path: Path, cache: Path) -> None:
    write_phantom(tmp_path / "full.nrrd")
    write_phantom(tmp_path / "low.nii.gz", seed=1, dose=0.25)
    pairs = write_csv(tmp_path, "anna,low.nii.gz,full.nrrd,train", "bert,,full.nrrd,validate")
    cases = load_cases(pairs, DataConfig(), ("train", "validate"), cache=cache, seed=1, device="cpu")
    (pair,), (single,) = cases["train"], cases["validate"]
    assert isinstance(pair, PairedCase)
    full, low = pair.region(EVERYTHING, Degradation(0.01, 1))
    np.testing.assert_array_equal(full, read_volume(tmp_path / "full.nrrd").hu)
    np.testing.assert_array_equal(low, read_volume(tmp_path / "low.nii.gz").hu)
    assert isinstance(single, NoiseInsertedCase)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["anna,,anna.nrrd,train", "anna,,bert.nrrd,validate"], "anna is in two splits"),
        (["anna,,anna.nrrd,training"], "line 2: .*split be one of train"),
        (["anna,,,train"], "full must be given"),
        (["anna,,anna.nrrd,test"], "No patient is left to train on"),
        (["anna,,missing.nrrd,train"], "does not exist"),
    ],
)
def test_a_wrong_csv_is_named(data: Path, tmp_path: Path, rows: list[str], sentence: str) -> None:
    for name in ("anna", "bert"):
        (tmp_path / f"{name}.nrrd").symlink_to(data / f"{name}.nrrd")
    with pytest.raises(InputError, match=sentence):
        load_cases(write_csv(tmp_path, *rows), DataConfig(), ("train",), cache=tmp_path / "cache", seed=1, device="cpu")


def test_a_pair_of_different_sizes_is_refused(tmp_path: Path) -> None:
    write_phantom(tmp_path / "full.nrrd", slices=2)
    write_phantom(tmp_path / "low.nrrd", slices=3)
    pairs = write_csv(tmp_path, "anna,low.nrrd,full.nrrd,train")
    with pytest.raises(InputError, match="anna differs in size"):
        load_cases(pairs, DataConfig(), ("train",), cache=tmp_path / "cache", seed=1, device="cpu")


def test_no_data_says_so(tmp_path: Path) -> None:
    for data, sentence in ((tmp_path, "holds no volume"), (tmp_path / "missing", "do not exist")):
        with pytest.raises(InputError, match=sentence):
            load_cases(data, DataConfig(), ("train",), cache=tmp_path, seed=1)


def test_a_split_that_names_an_absent_patient_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names dora"):
        load_cases(data, DataConfig(test=("dora",)), ("train",), cache=tmp_path, seed=1)


def body_case(rows: int = 80, columns: int = 80) -> NoiseInsertedCase:
    """Tissue on the left half, air on the right; noise of 10 HU (soft) and 20 HU (sharp) everywhere."""
    hu = np.full((3, rows, columns), -1000, np.int16)
    hu[:, :, : columns // 2] = 50
    noise = np.empty((2, 3, rows, columns), np.float16)
    noise[0], noise[1] = 10, 20
    return NoiseInsertedCase(PreparedVolume(hu, noise, (1.0, 1.0)))


def test_batches_are_a_function_of_the_seed_and_their_number() -> None:
    config = DataConfig(patch_size=16, batch_size=4)
    one, same, other = (PatchBatches([body_case()], config, halo=0, batches=3, seed=seed) for seed in ([1, 2], [1, 2], [1, 3]))
    assert torch.equal(one[2][1], same[2][1])
    assert not torch.equal(one[2][1], other[2][1])
    assert not torch.equal(one[1][1], one[2][1])
    assert len(list(one)) == 3  # type: ignore[call-overload]


def test_patches_have_their_halo() -> None:
    full, low = PatchBatches([body_case()], DataConfig(patch_size=16, batch_size=4), halo=5, batches=1, seed=[0])[0]
    assert full.shape == low.shape == (4, 1, 26, 26)
    assert full.dtype == low.dtype == torch.float32


def test_patches_of_air_alone_are_dropped() -> None:
    patches = PatchBatches([body_case()], DataConfig(patch_size=16, batch_size=64), halo=0, batches=1, seed=[0])
    full, _ = patches[0]
    assert ((full > -800).float().mean(dim=(1, 2, 3)) >= 0.01).all()


def test_doses_and_kernels_are_spread_over_their_ranges() -> None:
    config = DataConfig(patch_size=8, batch_size=400, dose_range=(0.05, 0.5))
    full, low = PatchBatches([body_case()], config, halo=0, batches=1, seed=[0])[0]
    noise = (low - full).amax(dim=(1, 2, 3))
    lowest, highest = 10 * np.sqrt(1 / 0.5 - 1), 20 * np.sqrt(1 / 0.05 - 1)
    assert noise.min() == pytest.approx(lowest, rel=0.2)
    assert noise.max() == pytest.approx(highest, rel=0.2)
    rng = np.random.default_rng(0)
    drawn = [Degradation.draw(rng, (0.05, 0.5)) for _ in range(2000)]
    assert np.mean([d.dose_fraction < np.sqrt(0.05 * 0.5) for d in drawn]) == pytest.approx(0.5, abs=0.05)
    for kernel in (0.0, 1.0):
        assert np.mean([d.sharp_share == kernel for d in drawn]) == pytest.approx(0.2, abs=0.04)


def test_every_flip_and_rotation_occurs() -> None:
    hu = np.full((1, 8, 8), 50, np.int16)
    hu[0, 0, 1] = 90  # one of eight places in the patch tells the orientation
    case = NoiseInsertedCase(PreparedVolume(hu, np.zeros((2, 1, 8, 8), np.float16), (1.0, 1.0)))
    full, _ = PatchBatches([case], DataConfig(patch_size=8, batch_size=200), halo=0, batches=1, seed=[0])[0]
    assert len({int(patch.argmax()) for patch in full}) == 8


def test_patients_are_drawn_with_equal_chance_whatever_their_slices() -> None:
    def uniform(hu: int, slices: int) -> Case:
        voxels = np.full((slices, 16, 16), hu, np.int16)
        return PairedCase(voxels, voxels)

    config = DataConfig(patch_size=8, batch_size=1000)
    full, _ = PatchBatches([uniform(10, 1), uniform(20, 50)], config, halo=0, batches=1, seed=[0])[0]
    assert (full[:, 0, 0, 0] == 10).float().mean() == pytest.approx(0.5, abs=0.06)


def test_volumes_smaller_than_a_patch_are_named() -> None:
    with pytest.raises(InputError, match=r"80x80, smaller than a patch and its halo \(98"):
        PatchBatches([body_case()], DataConfig(), halo=17, batches=1, seed=[0])


def test_data_without_tissue_are_refused() -> None:
    air = np.full((2, 32, 32), -1000, np.int16)
    with pytest.raises(InputError, match="hardly anything but air"):
        PatchBatches([PairedCase(air, air)], DataConfig(patch_size=8), halo=0, batches=1, seed=[0])[0]


def test_validation_shows_the_same_whole_slices_every_time() -> None:
    slices = ValidationSlices([body_case()])
    assert len(slices) == 3 * len(ValidationSlices.degradations)
    full, low = slices[1]
    assert full.shape == low.shape == (1, 1, 80, 80)
    assert (low - full)[0, 0, 0, 0] == pytest.approx(20 * 3)  # sharp kernel at dose 0.10
