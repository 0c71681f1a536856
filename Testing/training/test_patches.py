"""Training data: cases, split, prepared noise and patches."""

from __future__ import annotations

import errno
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from LDCTDenoiseLib.data.pairs_csv import CSV_COLUMNS
from LDCTDenoiseLib.errors import InputError, OutputError
from LDCTDenoiseLib.simulation import simulate_low_dose
from LDCTDenoiseLib.simulation.kernel import KERNELS, Kernel
from LDCTDenoiseLib.simulation.phantom import make_phantom
from LDCTDenoiseLib.training.config import DataConfig
from LDCTDenoiseLib.training.patches import array_cache, noise_cache, pair_cache
from LDCTDenoiseLib.training.patches.array_cache import cached_arrays
from LDCTDenoiseLib.training.patches.batches import LESIONS_EVERY, PatchBatches, ValidationSlices
from LDCTDenoiseLib.training.patches.cases import Case, Degradation, NoiseInsertedCase, PairedCase, load_cases, shared_out
from LDCTDenoiseLib.training.patches.noise_cache import PreparedVolume, Variety, prepare
from LDCTDenoiseLib.training.patches.pair_cache import PreparedPair
from LDCTDenoiseLib.training.patches.samples import LOUD_HU, collate
from LDCTDenoiseLib.training.patches.stored_array import StoredArray
from LDCTDenoiseLib.volumes.volume_file import read_volume, write_volume
from Testing.dicom.dicom_files import OTHER_SERIES, SERIES, make_slice, save

SIZE = 96


def region(case: Case, degradation: Degradation) -> tuple[np.ndarray, np.ndarray]:
    """The whole volume of a case in both doses, as training would see it."""
    everything = tuple(slice(0, length) for length in case.full.shape[1:])
    slices = [collate([case.sample((z, *everything), degradation)], [0]).images() for z in range(len(case.full))]
    full, low = (np.concatenate([images[dose].numpy()[0] for images in slices]) for dose in (0, 1))
    return full, low


def images(patches: PatchBatches, index: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    batch = patches[index].images()
    return batch.full, batch.low


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
    (prepared,) = prepare(volume, cache, seed=5)
    full, low = region(NoiseInsertedCase(prepared), Degradation(0.25, KERNELS["soft"]))
    np.testing.assert_array_equal(full, volume.hu)
    expected = simulate_low_dose(volume.hu.astype(np.float32), volume.spacing, 0.25, kernel="soft", seed=5)
    np.testing.assert_allclose(low, expected, rtol=2e-3, atol=0.5)  # the cache holds float16
    # Another kernel shapes the same rays; its loudness has a limit.
    full, low = region(NoiseInsertedCase(prepared), Degradation(0.25, KERNELS["sharp"]))
    expected = simulate_low_dose(volume.hu.astype(np.float32), volume.spacing, 0.25, kernel="sharp", seed=5)
    body = volume.hu > -200
    assert np.corrcoef((low - full)[body], (expected - full)[body])[0, 1] > 0.99


def test_preparing_again_reads_the_cache(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = read_volume(data / "anna.nrrd")
    (first,) = prepare(volume, tmp_path, seed=5)
    monkeypatch.setattr(noise_cache, "ray_noise", None)
    np.testing.assert_array_equal(prepare(volume, tmp_path, seed=5)[0].noise, first.noise)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interrupted_preparation_leaves_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(array_cache.np, "save", full_disk)
    with pytest.raises(OutputError, match="No space"):
        prepare(read_volume(data / "anna.nrrd"), tmp_path, seed=5)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_split_by_the_configuration(data: Path, cache: Path) -> None:
    config = DataConfig(validate=("bert",), test=("carl",))
    cases = load_cases(data, config, ("train", "validate"), cache=cache, seed=1)
    assert {split: len(members) for split, members in cases.items()} == {"train": 1, "validate": 1}
    expected = read_volume(data / "anna.nrrd").hu
    np.testing.assert_array_equal(region(cases["train"][0], Degradation(0.5, KERNELS["soft"]))[0], expected)


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
    full, low = region(pair, Degradation(0.01, KERNELS["sharp"]))
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
    assert isinstance(first.full, StoredArray)
    with monkeypatch.context() as patch:
        patch.setattr(pair_cache, "read_pair", None)
        np.testing.assert_array_equal(load().prepared.low, first.prepared.low)
    write_phantom(tmp_path / "low.nrrd", slices=3, seed=2)
    assert not np.array_equal(load().prepared.low, first.prepared.low)


def test_files_of_one_name_size_and_time_are_told_apart_by_their_content(tmp_path: Path) -> None:
    for seed, patient in enumerate(("anna", "bert")):
        (tmp_path / patient).mkdir()
        for dose in ("full", "low"):
            volume = np.random.default_rng(seed).integers(-1000, 500, (2, 16, 16)).astype(np.int16)
            sitk.WriteImage(sitk.GetImageFromArray(volume), str(tmp_path / patient / f"{dose}.nrrd"))
            os.utime(tmp_path / patient / f"{dose}.nrrd", (1.7e9, 1.7e9))  # as an archive with whole seconds has it
    pairs = write_csv(tmp_path, *(f"{one},{one}/low.nrrd,{one}/full.nrrd,train" for one in ("anna", "bert")))
    anna, bert = load_cases(pairs, DataConfig(), ("train",), cache=tmp_path / "cache", seed=1)["train"]
    np.testing.assert_array_equal(anna.full[0], read_volume(tmp_path / "anna" / "full.nrrd").hu[0])
    np.testing.assert_array_equal(bert.full[0], read_volume(tmp_path / "bert" / "full.nrrd").hu[0])


def test_a_pair_of_two_series_of_a_folder_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for uid in (SERIES, OTHER_SERIES):
        for number in range(2):
            tags = {"SeriesInstanceUID": uid, "SOPInstanceUID": f"{uid}.{number}"}
            save(make_slice(number, tags), tmp_path / "dicom" / f"{uid}.{number}.dcm")
    pairs = write_csv(tmp_path, f"anna,dicom#{OTHER_SERIES},dicom#{SERIES},train")

    def load() -> Case:
        return load_cases(pairs, DataConfig(), ("train",), cache=tmp_path / "cache", seed=1)["train"][0]

    first = load()
    monkeypatch.setattr(pair_cache, "read_pair", None)
    np.testing.assert_array_equal(load().full[0], first.full[0])


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


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux counts its open files there")
def test_prepared_volumes_keep_no_file_open(tmp_path: Path) -> None:
    before = open_files()
    arrays = cached_arrays(tmp_path / "entry", lambda: {f"hu{n}": np.full((2, 3), n) for n in range(50)})
    parts = [array[0] for array in arrays.values()]
    assert open_files() - before < 5
    assert [int(part[0]) for part in parts] == list(range(50))


def test_a_cache_that_too_many_open_files_hide_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_more(path: Path) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    cached_arrays(tmp_path / "entry", lambda: {"hu": np.ones(3)})
    monkeypatch.setattr(array_cache, "_checksum", no_more)
    with pytest.raises(OutputError, match="too many files are open; raise their limit"):
        cached_arrays(tmp_path / "entry", lambda: {"hu": np.ones(3)})
    assert "damaged" not in caplog.text


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_on_disk_gives_the_parts_that_it_has_in_memory(tmp_path: Path, order: str) -> None:
    array = np.arange(2 * 3 * 4, dtype=np.int16).reshape((2, 3, 4), order=order)  # type: ignore[call-overload]
    stored = cached_arrays(tmp_path / "entry", lambda: {"hu": array, "sd": np.array(2.5)})
    assert (stored["hu"].shape, stored["hu"].dtype, len(stored["hu"])) == ((2, 3, 4), np.int16, 2)
    for where in (0, slice(None), (slice(1), 2, slice(1, 3)), ...):
        np.testing.assert_array_equal(stored["hu"][where], array[where])
    np.testing.assert_array_equal(stored["hu"], array)
    assert float(stored["sd"][...]) == 2.5


def test_a_worker_that_is_not_forked_gets_no_copy_of_the_volumes(tmp_path: Path) -> None:
    shape = (3, 200, 200)
    arrays = {
        "hu": np.full(shape, 50, np.int16),
        "noise": np.ones((2, *shape), np.float16),
        "own_noise": np.ones(shape, np.int16),
    }
    stored = cached_arrays(tmp_path / "entry", lambda: arrays)
    case = NoiseInsertedCase(PreparedVolume(stored["hu"], stored["noise"], (1.0, 1.0), 10.0), own_noise=stored["own_noise"])
    patches = PatchBatches([case], DataConfig(patch_size=16, batch_size=4), halo=0, batches=1, seed=[1])
    sent = pickle.dumps(patches)
    assert len(sent) < 10_000
    assert torch.equal(images(pickle.loads(sent))[1], images(patches)[1])


def test_shares_of_a_batch_make_up_the_batch_of_one_process() -> None:
    noise = np.random.default_rng(0).normal(0, 20, (2, 3, 80, 80)).astype(np.float16)
    texture = np.random.default_rng(1).integers(-50, 50, (3, 80, 80)).astype(np.int16)
    cases: list[Case] = [
        NoiseInsertedCase(PreparedVolume(texture, noise, (1.0, 1.0), 10.0)),
        PairedCase(PreparedPair(texture, texture + np.int16(5), (1.0, 1.0))),
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
    case = PairedCase(PreparedPair(full, (full + 7).astype(np.int16), (1.0, 1.0)))
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
    """Tissue on the left half, air on the right; noise of 10 HU (photons) and 20 HU (electronics) everywhere."""
    hu = np.full((3, rows, columns), -1000, np.int16)
    hu[:, :, : columns // 2] = 50
    noise = np.empty((2, 3, rows, columns), np.float16)
    noise[0], noise[1] = 10, 20
    return NoiseInsertedCase(PreparedVolume(hu, noise, (1.0, 1.0), 10.0))


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


def test_degradations_are_spread_over_their_ranges() -> None:
    config = DataConfig(dose_range=(0.05, 0.5), full_dose=0.1, electronics=0.6)
    rng = np.random.default_rng(0)
    drawn = [Degradation.draw(rng, config, 0.8) for _ in range(2000)]
    doses = np.array([one.dose_fraction for one in drawn])
    assert np.mean(doses == 1) == pytest.approx(0.1, abs=0.03)
    below = doses[doses < 1]
    assert below.min() == pytest.approx(0.05, rel=0.05)
    assert below.max() == pytest.approx(0.5, rel=0.05)
    assert np.mean(below < np.sqrt(0.05 * 0.5)) == pytest.approx(0.5, abs=0.05)
    assert np.mean([one.electronics > 0 for one in drawn]) == pytest.approx(0.6, abs=0.05)
    assert len({one.kernel for one in drawn}) == 2000


@pytest.mark.parametrize("pixel_mm", [0.4, 1.0])
def test_kernels_may_be_drawn_by_pixel(pixel_mm: float) -> None:
    def cutoffs_per_mm(chance: float) -> np.ndarray:
        rng = np.random.default_rng(0)
        drawn = [Degradation.draw(rng, DataConfig(kernel_by_pixel=chance), pixel_mm).kernel for _ in range(500)]
        return np.array([kernel.cutoff_per_mm for kernel in drawn if isinstance(kernel, Kernel)])

    always = cutoffs_per_mm(1.0) * pixel_mm
    assert always.min() == pytest.approx(0.17, rel=0.05)
    assert always.max() == pytest.approx(0.6, rel=0.05)
    never = cutoffs_per_mm(0.0)
    assert never.min() < 0.27
    assert never.max() > 1.2


def test_at_full_dose_nothing_is_inserted() -> None:
    full, low = region(body_case(), Degradation(1.0, KERNELS["sharp"], electronics=2.0))
    np.testing.assert_array_equal(full, low)


def test_electronic_noise_grows_faster_than_the_photons() -> None:
    strength = [Degradation(dose, KERNELS["soft"], electronics=1.0).amplitudes() for dose in (0.1, 0.05)]
    assert strength[0][1] == pytest.approx(strength[0][0])  # told at a tenth of the dose
    assert strength[1][0] ** 2 / strength[0][0] ** 2 == pytest.approx(19 / 9)
    assert strength[1][1] ** 2 / strength[0][1] ** 2 == pytest.approx(19 / 9 * 21 / 11)


def test_a_varied_volume_comes_in_blocks_of_other_pixels_and_keeps_its_millimetres(data: Path, tmp_path: Path) -> None:
    scan = read_volume(data / "anna.nrrd")
    blocks = prepare(scan, tmp_path, seed=5, variety=Variety(versions=3, zoom=(0.7, 1.4), girth=(0.8, 1.2)))
    assert len(blocks) == 3
    assert len({block.spacing for block in blocks}) == 3
    for block in blocks:
        assert block.noise.shape == (2, *block.hu.shape)
        assert block.spacing[0] * block.hu.shape[1] == pytest.approx(scan.spacing[0] * SIZE, rel=0.02)
        assert block.hu[:].mean() == pytest.approx(scan.hu.mean(), abs=10)
        assert block.own_noise_hu == blocks[0].own_noise_hu


def test_two_volumes_are_varied_differently(data: Path, tmp_path: Path) -> None:
    scans = [read_volume(data / name) for name in ("anna.nrrd", "bert.nrrd")]
    pixels = {prepare(scan, tmp_path, seed=5, variety=Variety(zoom=(0.7, 1.4)))[0].spacing for scan in scans}
    assert len(pixels) == 2


def test_quiet_patients_are_drawn_more_often() -> None:
    def patient(hu: int, own: float) -> list[NoiseInsertedCase]:
        voxels = np.full((2, 40, 40), hu, np.int16)
        return shared_out([PreparedVolume(voxels, np.zeros((2, 2, 40, 40), np.float16), (1.0, 1.0), own)] * 3)

    config = DataConfig(patch_size=8, batch_size=1000)
    full, _ = images(PatchBatches([*patient(10, 8.0), *patient(20, 16.0)], config, halo=0, batches=1, seed=[0]))
    assert (full[:, 0, 0, 0] == 10).float().mean() == pytest.approx(2 / 3, abs=0.06)


def test_own_noise_is_taken_from_the_target_and_stays_in_the_low_dose() -> None:
    plain = body_case()
    own_noise = np.random.default_rng(4).integers(-20, 20, plain.full.shape).astype(np.int16)
    config = DataConfig(patch_size=16, batch_size=8, slab=1)
    as_scanned, freed = (
        PatchBatches([case], config, halo=2, batches=1, seed=[5])[0].images()
        for case in (plain, replace(plain, own_noise=own_noise))
    )
    assert torch.equal(as_scanned.low, freed.low)
    taken = as_scanned.full - freed.full
    assert taken.std() > 5
    assert set(taken.unique().tolist()) <= set(np.unique(own_noise).astype(float).tolist())


def test_lesions_come_with_every_fourth_patch_and_go_into_neither_dose() -> None:
    config = DataConfig(patch_size=16, batch_size=16)
    cases = [body_case(), PairedCase(PreparedPair(*[np.full((3, 80, 80), 20, np.int16)] * 2, (0.5, 0.5)))]
    plain, with_lesions = (
        PatchBatches(cases, config, halo=2, batches=1, seed=[5], lesions=lesions)[0].images() for lesions in (False, True)
    )
    assert plain.lesions is None
    assert torch.equal(plain.low, with_lesions.low)
    assert with_lesions.lesions is not None
    assert with_lesions.lesions.shape == (4, 1, 20, 20)
    assert (with_lesions.lesions.abs().amax(dim=(1, 2, 3)) > 1).all()
    assert with_lesions.patch is not None
    assert len(set(with_lesions.patch.tolist())) == 4


def paired_noise() -> list[Case]:
    rng = np.random.default_rng(0)
    full = np.full((3, 80, 80), 20, np.int16)
    return [
        PairedCase(PreparedPair(full, full + np.rint(rng.normal(0, sd, full.shape)).astype(np.int16), (0.5, 0.5)))
        for sd in (0.8 * LOUD_HU, 1.2 * LOUD_HU)
    ]


def inserted_noise() -> list[Case]:
    noise = np.random.default_rng(0).normal(0, 30, (2, 3, 80, 80)).astype(np.float16)
    return [NoiseInsertedCase(PreparedVolume(np.full((3, 80, 80), 50, np.int16), noise, (1.0, 1.0), 10.0))]


@pytest.mark.parametrize("cases", [paired_noise(), inserted_noise()], ids=["pairs", "inserted"])
def test_patches_whose_noise_hides_lesions_have_none(cases: list[Case]) -> None:
    patches = PatchBatches(cases, DataConfig(patch_size=16, batch_size=64), halo=2, batches=1, seed=[5], lesions=True)
    full, low, lesions, patch = patches[0].images()
    noise = (low - full).std(dim=(1, 2, 3))
    expected = [number for number in range(0, 64, LESIONS_EVERY) if noise[number] < LOUD_HU]
    assert 0 < len(expected) < 16
    assert lesions is not None
    assert patch is not None
    assert patch.tolist() == expected
    assert len(lesions) == len(expected)


def test_a_batch_of_loud_noise_alone_has_no_lesions() -> None:
    config = DataConfig(patch_size=16, batch_size=16)
    batch = PatchBatches(paired_noise()[1:], config, halo=2, batches=1, seed=[5], lesions=True)[0]
    assert batch.lesions is not None
    assert batch.images().lesions is None


def test_lesions_of_patches_with_a_wide_halo_lie_within_it() -> None:
    config = DataConfig(patch_size=16, batch_size=64)
    lesions = PatchBatches([body_case(120, 120)], config, halo=17, batches=1, seed=[5], lesions=True)[0].images().lesions
    assert lesions is not None
    assert (lesions[..., 17:-17, 17:-17].square().sum(dim=(1, 2, 3)) > 1000).all(), "HU squared: a single disc has more"


def test_every_flip_and_rotation_occurs() -> None:
    hu = np.full((1, 8, 8), 50, np.int16)
    hu[0, 0, 1] = 90  # one of eight places in the patch tells the orientation
    case = PairedCase(PreparedPair(hu, hu, (1.0, 1.0)))
    full, _ = images(PatchBatches([case], DataConfig(patch_size=8, batch_size=200), halo=0, batches=1, seed=[0]))
    assert len({int(patch.argmax()) for patch in full}) == 8


def test_patients_are_drawn_with_equal_chance_whatever_their_slices() -> None:
    def uniform(hu: int, slices: int) -> Case:
        voxels = np.full((slices, 16, 16), hu, np.int16)
        return PairedCase(PreparedPair(voxels, voxels, (1.0, 1.0)))

    config = DataConfig(patch_size=8, batch_size=1000)
    full, _ = images(PatchBatches([uniform(10, 1), uniform(20, 50)], config, halo=0, batches=1, seed=[0]))
    assert (full[:, 0, 0, 0] == 10).float().mean() == pytest.approx(0.5, abs=0.06)


def test_volumes_that_are_not_in_hu_are_refused(data: Path, cache: Path, tmp_path: Path) -> None:
    scan = read_volume(data / "anna.nrrd")
    write_volume(scan.with_hu(scan.hu + np.int16(1100)), tmp_path / "anna.nrrd")
    with pytest.raises(InputError, match="do not look like HU"):
        load_cases(tmp_path, DataConfig(), ("train",), cache=cache, seed=5)


def test_normal_doses_with_nan_are_refused(data: Path, cache: Path, tmp_path: Path) -> None:
    scan = read_volume(data / "anna.nrrd")
    hu = scan.hu.astype(np.float32)
    hu[0, :2, 0] = np.nan
    write_volume(scan.with_hu(hu), tmp_path / "anna.nrrd")
    with pytest.raises(InputError, match="NaN or infinity in 2 voxels"):
        load_cases(tmp_path, DataConfig(), ("train",), cache=cache, seed=5)


def test_volumes_smaller_than_a_patch_are_named() -> None:
    with pytest.raises(InputError, match=r"80x80, smaller than a patch, its halo and the margin of its noise \(122"):
        PatchBatches([body_case()], DataConfig(), halo=17, batches=1, seed=[0])


def test_data_without_tissue_are_refused() -> None:
    air = np.full((2, 32, 32), -1000, np.int16)
    with pytest.raises(InputError, match="hardly anything but air"):
        PatchBatches([PairedCase(PreparedPair(air, air, (1.0, 1.0)))], DataConfig(patch_size=8), halo=0, batches=1, seed=[0])[0]


def test_validation_shows_the_same_whole_slices_every_time() -> None:
    slices = ValidationSlices([body_case()])
    assert len(slices) == 3 * len(ValidationSlices.degradations)
    batch, shown, spacing = slices[0]
    assert spacing == slices.items[0][0].spacing
    full, low = batch.images()[:2]
    assert shown == "dose_0.25"
    assert full.shape == low.shape == (1, 1, 80, 80)
    assert (low - full)[0, 0, 0, 0] == pytest.approx(10 * np.sqrt(3), rel=1e-3)  # no kernel changes the mean
