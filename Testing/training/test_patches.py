"""Training data: cases, split, prepared noise and patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from LDCTDenoiseLib.data.pairs_csv import CSV_COLUMNS
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.simulation import simulate_low_dose
from LDCTDenoiseLib.simulation.phantom import make_phantom
from LDCTDenoiseLib.training.config import DataConfig
from LDCTDenoiseLib.training.patches import array_cache, noise_cache, pair_cache
from LDCTDenoiseLib.training.patches.array_cache import cached_arrays
from LDCTDenoiseLib.training.patches.batches import PatchBatches, ValidationSlices
from LDCTDenoiseLib.training.patches.cases import Case, Degradation, NoiseInsertedCase, PairedCase, load_cases
from LDCTDenoiseLib.training.patches.noise_cache import PreparedVolume, prepare
from LDCTDenoiseLib.training.patches.pair_cache import PreparedPair
from LDCTDenoiseLib.training.patches.samples import collate
from LDCTDenoiseLib.volumes.volume_file import read_volume

SIZE = 96


def region(case: Case, degradation: Degradation) -> tuple[np.ndarray, np.ndarray]:
    """The whole volume of a case in both doses, as training would see it."""
    everything = (slice(None), slice(None))
    slices = [collate([case.sample((z, *everything), degradation)], [0]).images() for z in range(len(case.full))]
    full, low = (np.concatenate([images[dose].numpy()[0] for images in slices]) for dose in (0, 1))
    return full, low


def images(patches: PatchBatches, index: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return patches[index].images()


def write_phantom(path: Path, *, seed: int = 0, dose: float = 1.0, slices: int = 2) -> Path:
    phantom = make_phantom(slices, SIZE)
    image = sitk.GetImageFromArray(phantom.scan(dose, seed=seed))
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
    case = NoiseInsertedCase(prepare(volume, cache, seed=5))
    for sharp_share, kernel in ((0.0, "soft"), (1.0, "sharp")):
        full, low = region(case, Degradation(0.1, sharp_share))
        expected = simulate_low_dose(volume.hu.astype(np.float32), volume.spacing, 0.1, kernel=kernel, seed=5)
        np.testing.assert_array_equal(full, volume.hu)
        np.testing.assert_allclose(low, expected, rtol=2e-3, atol=0.5)  # the cache holds float16


def test_preparing_again_reads_the_cache(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = read_volume(data / "anna.nrrd")
    first = prepare(volume, tmp_path, seed=5)
    monkeypatch.setattr(noise_cache, "ray_noise", None)
    np.testing.assert_array_equal(prepare(volume, tmp_path, seed=5).noise, first.noise)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interrupted_preparation_leaves_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(array_cache.np, "save", full_disk)
    with pytest.raises(InputError, match="No space"):
        prepare(read_volume(data / "anna.nrrd"), tmp_path, seed=5)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_split_by_the_configuration(data: Path, cache: Path) -> None:
    config = DataConfig(validate=("bert",), test=("carl",))
    cases = load_cases(data, config, ("train", "validate"), cache=cache, seed=1)
    assert {split: len(members) for split, members in cases.items()} == {"train": 1, "validate": 1}
    expected = read_volume(data / "anna.nrrd").hu
    np.testing.assert_array_equal(region(cases["train"][0], Degradation(0.5, 0))[0], expected)


def test_test_patients_are_not_even_read(data: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "anna.nrrd").symlink_to(data / "anna.nrrd")
    (tmp_path / "secret.nrrd").write_bytes(b"not a volume")
    load_cases(tmp_path, DataConfig(test=("secret",)), ("train", "validate"), cache=cache, seed=1)


def test_csv_pairs_and_normal_dose_volumes_mix(tmp_path: Path, cache: Path) -> None:
    write_phantom(tmp_path / "full.nrrd")
    write_phantom(tmp_path / "low.nii.gz", seed=1, dose=0.25)
    pairs = write_csv(tmp_path, "anna,low.nii.gz,full.nrrd,train", "bert,,full.nrrd,validate")
    cases = load_cases(pairs, DataConfig(), ("train", "validate"), cache=cache, seed=1)
    (pair,), (single,) = cases["train"], cases["validate"]
    assert isinstance(pair, PairedCase)
    full, low = region(pair, Degradation(0.01, 1))
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
        load_cases(write_csv(tmp_path, *rows), DataConfig(), ("train",), cache=tmp_path / "cache", seed=1)


def test_a_pair_is_read_once_and_anew_when_its_files_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_phantom(tmp_path / "full.nrrd", slices=2)
    write_phantom(tmp_path / "low.nrrd", slices=3, seed=1)
    pairs = write_csv(tmp_path, "anna,low.nrrd,full.nrrd,train")

    def load() -> PairedCase:
        (case,) = load_cases(pairs, DataConfig(), ("train",), cache=tmp_path / "cache", seed=1)["train"]
        assert isinstance(case, PairedCase)
        return case

    first = load()
    assert first.full.shape == (2, SIZE, SIZE)
    assert first.full.dtype == first.prepared.low.dtype == np.int16
    assert isinstance(first.full, np.memmap)
    with monkeypatch.context() as patch:
        patch.setattr(pair_cache, "read_pair", None)
        np.testing.assert_array_equal(load().prepared.low, first.prepared.low)
    write_phantom(tmp_path / "low.nrrd", slices=3, seed=2)
    assert not np.array_equal(load().prepared.low, first.prepared.low)


@pytest.mark.parametrize("harm", ["cut", "changed", "no manifest", "bad manifest", "missing"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    made = 0

    def make() -> dict[str, np.ndarray]:
        nonlocal made
        made += 1
        return {"one": np.arange(1000, dtype=np.int16), "two": np.ones((3, 4), np.float16)}

    folder = tmp_path / "cache" / "entry"
    cached_arrays(folder, make)
    cached_arrays(folder, make)
    assert made == 1
    file = folder / "one.npy"
    content = bytearray(file.read_bytes())
    if harm == "cut":
        file.write_bytes(content[:-100])
    elif harm == "changed":
        content[-1] ^= 1
        file.write_bytes(content)
    elif harm == "missing":
        file.unlink()
    elif harm == "bad manifest":
        (folder / "manifest.json").write_text("{")
    else:
        (folder / "manifest.json").unlink()
    arrays = cached_arrays(folder, make)
    assert made == 2
    assert "made anew" in caplog.text
    np.testing.assert_array_equal(arrays["one"], np.arange(1000))
    assert [path.name for path in folder.parent.iterdir()] == ["entry"]


def test_shares_of_a_batch_make_up_the_batch_of_one_process() -> None:
    noise = np.random.default_rng(0).normal(0, 20, (2, 3, 80, 80)).astype(np.float16)
    texture = np.random.default_rng(1).integers(-50, 50, (3, 80, 80)).astype(np.int16)
    cases: list[Case] = [
        NoiseInsertedCase(PreparedVolume(texture, noise, (1.0, 1.0))),
        PairedCase(PreparedPair(texture, texture + np.int16(5))),
        body_case(),  # half of it air: some patches are drawn again
    ]
    config = DataConfig(patch_size=16, batch_size=24)

    def patches(share: tuple[int, int]) -> list[bytes]:
        full, low = images(PatchBatches(cases, config, halo=2, batches=3, seed=[5], share=share), 2)
        return [torch.stack([one, other]).numpy().tobytes() for one, other in zip(full, low, strict=True)]

    whole = patches((0, 1))
    shares = [patches((number, 3)) for number in range(3)]
    assert [len(share) for share in shares] == [8, 8, 8]
    assert sorted(patch for share in shares for patch in share) == sorted(whole)


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    with pytest.raises(InputError, match="batch_size is 4, which 3 processes"):
        PatchBatches([body_case()], DataConfig(patch_size=8, batch_size=4), halo=0, batches=1, seed=[0], share=(0, 3))


def test_a_measured_pair_is_turned_together_and_keeps_its_own_noise() -> None:
    full = np.arange(64 * 64, dtype=np.int16).reshape(1, 64, 64)
    case = PairedCase(PreparedPair(full, (full + 7).astype(np.int16)))
    shown, low = images(PatchBatches([case], DataConfig(patch_size=8, batch_size=64), halo=0, batches=1, seed=[0]))
    assert torch.equal(low - shown, torch.full_like(shown, 7))
    assert len({tuple((patch[0, 0, :2] - patch[0, 1, 0]).tolist()) for patch in shown}) == 8


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
    assert torch.equal(images(one, 2)[1], images(same, 2)[1])
    assert not torch.equal(images(one, 2)[1], images(other, 2)[1])
    assert not torch.equal(images(one, 1)[1], images(one, 2)[1])
    assert len(list(one)) == 3  # type: ignore[call-overload]


def test_patches_have_their_halo() -> None:
    full, low = images(PatchBatches([body_case()], DataConfig(patch_size=16, batch_size=4), halo=5, batches=1, seed=[0]))
    assert full.shape == low.shape == (4, 1, 26, 26)
    assert full.dtype == low.dtype == torch.float32


def test_patches_of_air_alone_are_dropped() -> None:
    patches = PatchBatches([body_case()], DataConfig(patch_size=16, batch_size=64), halo=0, batches=1, seed=[0])
    full, _ = images(patches)
    assert ((full > -800).float().mean(dim=(1, 2, 3)) >= 0.01).all()


def test_doses_and_kernels_are_spread_over_their_ranges() -> None:
    config = DataConfig(patch_size=8, batch_size=400, dose_range=(0.05, 0.5))
    full, low = images(PatchBatches([body_case()], config, halo=0, batches=1, seed=[0]))
    noise = (low - full).amax(dim=(1, 2, 3))
    lowest, highest = 10 * np.sqrt(1 / 0.5 - 1), 20 * np.sqrt(1 / 0.05 - 1)
    assert noise.min() == pytest.approx(lowest, rel=0.2)
    assert noise.max() == pytest.approx(highest, rel=0.2)
    rng = np.random.default_rng(0)
    drawn = [Degradation.at(*rng.random(2), (0.05, 0.5)) for _ in range(2000)]
    assert np.mean([d.dose_fraction < np.sqrt(0.05 * 0.5) for d in drawn]) == pytest.approx(0.5, abs=0.05)
    for kernel in (0.0, 1.0):
        assert np.mean([d.sharp_share == kernel for d in drawn]) == pytest.approx(0.2, abs=0.04)


def test_every_flip_and_rotation_occurs() -> None:
    hu = np.full((1, 8, 8), 50, np.int16)
    hu[0, 0, 1] = 90  # one of eight places in the patch tells the orientation
    case = NoiseInsertedCase(PreparedVolume(hu, np.zeros((2, 1, 8, 8), np.float16), (1.0, 1.0)))
    full, _ = images(PatchBatches([case], DataConfig(patch_size=8, batch_size=200), halo=0, batches=1, seed=[0]))
    assert len({int(patch.argmax()) for patch in full}) == 8


def test_patients_are_drawn_with_equal_chance_whatever_their_slices() -> None:
    def uniform(hu: int, slices: int) -> Case:
        voxels = np.full((slices, 16, 16), hu, np.int16)
        return PairedCase(PreparedPair(voxels, voxels))

    config = DataConfig(patch_size=8, batch_size=1000)
    full, _ = images(PatchBatches([uniform(10, 1), uniform(20, 50)], config, halo=0, batches=1, seed=[0]))
    assert (full[:, 0, 0, 0] == 10).float().mean() == pytest.approx(0.5, abs=0.06)


def test_volumes_smaller_than_a_patch_are_named() -> None:
    with pytest.raises(InputError, match=r"80x80, smaller than a patch and its halo \(98"):
        PatchBatches([body_case()], DataConfig(), halo=17, batches=1, seed=[0])


def test_data_without_tissue_are_refused() -> None:
    air = np.full((2, 32, 32), -1000, np.int16)
    with pytest.raises(InputError, match="hardly anything but air"):
        PatchBatches([PairedCase(PreparedPair(air, air))], DataConfig(patch_size=8), halo=0, batches=1, seed=[0])[0]


def test_validation_shows_the_same_whole_slices_every_time() -> None:
    slices = ValidationSlices([body_case()])
    assert len(slices) == 3 * len(ValidationSlices.degradations)
    batch, shown = slices[1]
    full, low = batch.images()
    assert shown == "dose_0.10"
    assert full.shape == low.shape == (1, 1, 80, 80)
    assert (low - full)[0, 0, 0, 0] == pytest.approx(20 * 3)  # sharp kernel at dose 0.10
