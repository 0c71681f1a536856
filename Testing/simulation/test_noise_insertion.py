from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.measures.noise_level import noise_sd, uniform_windows
from LDCTDenoiseLib.simulation import noise_insertion, simulate_low_dose
from LDCTDenoiseLib.simulation.kernel import KERNELS, Kernel
from LDCTDenoiseLib.simulation.noise_insertion import (
    MU_WATER_PER_MM,
    calibrate_photons,
    each_slice,
    extra_noise,
    insert_noise,
    ray_noise,
)
from LDCTDenoiseLib.simulation.parallel_beam import ParallelBeam
from LDCTDenoiseLib.simulation.phantom import INSERTS, Phantom, make_phantom
from LDCTDenoiseLib.volumes.volume_file import read_volume

SIZE = 96
SPACING = (2.5, 2.5)


def distance_mm(size: int, spacing: tuple[float, float], row: float = 0, column: float = 0) -> np.ndarray:
    """Of each pixel to a place in mm from the middle."""
    index = np.arange(size) - (size - 1) / 2
    return np.hypot(index[:, None] * spacing[0] - row, index[None, :] * spacing[1] - column)


def water_disc(slices: int, radius: float = 100.0, hu: float = 0.0, size: int = SIZE, mm: float = SPACING[0]) -> np.ndarray:
    image = np.where(distance_mm(size, (mm, mm)) < radius, hu, -1000).astype(np.float32)
    return np.repeat(image[None], slices, axis=0)


def low_dose(volume: np.ndarray, dose: float = 0.25, spacing: tuple[float, float] = SPACING, **options: object) -> np.ndarray:
    """With explicit photons where a test does not say otherwise."""
    return simulate_low_dose(volume, spacing, dose, **{"photons": 1e5, **options})


def unit_noise(volume: np.ndarray, *, first_slice: int = 0, seed: int = 1, spacing: tuple[float, float] = SPACING) -> np.ndarray:
    """Bare-ramp noise of the photons and of the electronics: (2, slices, rows, columns)."""
    beam = ParallelBeam(*volume.shape[1:], spacing)
    slices = [ray_noise(image, beam, seed=seed, index=first_slice + z, electronic=True) for z, image in enumerate(volume)]
    return np.stack(slices, axis=1)


@dataclass(frozen=True)
class Scanner:
    """A real measurement, photon by photon, with nothing in common with noise insertion but the geometry."""

    photons: float
    electronic_noise: float = 0.0

    def scan(self, truth: np.ndarray, spacing: tuple[float, float], dose: float = 1.0, *, seed: int) -> np.ndarray:
        beam = ParallelBeam(*truth.shape[1:], spacing)
        rng = np.random.default_rng(seed)
        p = np.stack([beam.project(MU_WATER_PER_MM * (1 + image / 1000)) for image in truth]).astype(float)
        counts = rng.poisson(dose * self.photons * np.exp(-p)) + rng.normal(0, np.sqrt(self.electronic_noise), p.shape)
        measured = -np.log(np.maximum(counts, 1) / (dose * self.photons))
        # The projector's own error is in the noise-free image, and no matter of dose.
        noise = np.stack([beam.reconstruct(view) for view in measured - p]) * (1000 / MU_WATER_PER_MM)
        return truth + KERNELS["soft"].shape(noise, spacing)


@pytest.mark.parametrize("electronic_noise", [0.0, 1000.0])
def test_inserted_noise_makes_of_a_scan_what_the_scanner_gives_at_that_dose(electronic_noise: float) -> None:
    truth = water_disc(12)
    scanner = Scanner(5e4, electronic_noise)
    full, quarter = (scanner.scan(truth, SPACING, dose, seed=seed) for dose, seed in ((1.0, 1), (0.25, 2)))
    simulated = low_dose(full, 0.25, photons=5e4, electronic_noise=electronic_noise)
    distance = distance_mm(SIZE, SPACING)
    for inside in (distance < 45, (distance > 60) & (distance < 90)):
        real, ours = ((image - truth)[:, inside].std() for image in (quarter, simulated))
        assert ours == pytest.approx(real, rel=0.04)
    # Electronic noise is a good part of the whole here: left out, the agreement would not hold.
    if electronic_noise:
        without = low_dose(full, 0.25, photons=5e4)
        assert (without - truth)[:, distance < 45].std() < 0.85 * (quarter - truth)[:, distance < 45].std()


@pytest.mark.parametrize("electronic_noise", [0.0, 1000.0])
def test_calibration_finds_the_scanners_photons(electronic_noise: float) -> None:
    spacing = (0.8, 0.8)  # the noise windows need pixels of a clinical size
    truth = water_disc(4, radius=60, hu=40, size=160, mm=0.8)
    full = Scanner(1e4, electronic_noise).scan(truth, spacing, seed=3)
    photons = calibrate_photons(full, spacing, KERNELS["soft"], electronic_noise=electronic_noise)
    assert photons == pytest.approx(1e4, rel=0.1)  # 5 % of SD
    if electronic_noise:
        # Here half the noise: taken for photons' noise it would halve the photons.
        assert calibrate_photons(full, spacing, KERNELS["soft"]) < 0.7e4


CHILD_SPACING = (0.78, 0.78)


@dataclass(frozen=True)
class CalibratedScan:
    """A full-dose scan of the phantom at half its size, as of a child, which lets 256 pixels have a clinical size."""

    truth: np.ndarray
    full: np.ndarray
    masks: dict[str, np.ndarray]

    @property
    def unused(self) -> list[int]:
        """Slices that the calibration does not look at."""
        used = np.linspace(0, len(self.full) - 1, noise_insertion.CALIBRATION_SLICES).round()
        return [z for z in range(len(self.full)) if z not in used]


@pytest.fixture(scope="module")
def child() -> CalibratedScan:
    phantom = make_phantom(slices=14, size=256)
    body = np.s_[:, 44:-44, 16:-16]  # air costs time only
    masks = {
        name: np.any([phantom.mask(one, margin) for one in INSERTS if name in one.name], axis=0)[body]
        for name, margin in (("muscle", 8.0), ("liver", 3.0), ("kidney", 3.0))
    }
    truth = phantom.truth[body]
    return CalibratedScan(truth, Phantom(truth, CHILD_SPACING).scan(seed=6), masks)


@pytest.mark.parametrize("kernel", ["soft", "sharp"])
def test_calibrated_quarter_dose_doubles_the_noise_where_it_was_not_calibrated(child: CalibratedScan, kernel: str) -> None:
    low = simulate_low_dose(child.full, CHILD_SPACING, 0.25, kernel=kernel, seed=6)
    assert len(child.unused) == 6
    # One ratio over all organs: in the kidneys alone, with some hundred noise grains, it scatters by several percent.
    there = np.any([mask[child.unused] for mask in child.masks.values()], axis=0)
    before, after = ((image - child.truth)[child.unused][there] for image in (child.full, low))
    assert after.std() / before.std() == pytest.approx(2.0, rel=0.05)
    assert abs(after.mean() - before.mean()) < 1


def test_calibration_with_electronic_noise_gives_back_the_images_own_noise(child: CalibratedScan) -> None:
    slices = child.full[::4]
    windows = uniform_windows(slices, CHILD_SPACING)
    own = noise_sd(slices, windows, CHILD_SPACING)

    noise = KERNELS["soft"].shape(unit_noise(slices, seed=8, spacing=CHILD_SPACING), CHILD_SPACING)
    quantum, electronic = (noise_sd(one, windows, CHILD_SPACING) for one in noise)
    # Electronic noise that makes a third and more of the whole.
    electronic_noise = 0.4 * own**2 * (quantum / own) ** 4 / electronic**2
    photons = calibrate_photons(slices, CHILD_SPACING, KERNELS["soft"], electronic_noise=electronic_noise)
    shares = np.array([quantum**2 / photons, electronic**2 * electronic_noise / photons**2]) / own**2
    assert shares.sum() == pytest.approx(1, abs=0.1)
    assert shares[1] > 0.2


# Slices with much uniform tissue and alike in noise: one number of photons cannot fit slices of unequal tube current.
@pytest.mark.parametrize(
    ("name", "first"),
    [("abdomen_CRLM-CT-1004", 6), pytest.param("abdomen_CRLM-CT-1006", 12, marks=pytest.mark.slow)],
)
def test_calibrated_quarter_dose_of_a_real_ct_doubles_its_noise(shared: Path, name: str, first: int) -> None:
    volume = read_volume(shared / "data" / "train" / f"{name}.nrrd")
    slices = volume.hu[first : first + 12]
    rows, columns = (np.flatnonzero((slices > -300).any(axis=axes)) for axes in ((0, 2), (0, 1)))
    slices = slices[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    photons = calibrate_photons(slices, volume.spacing, KERNELS["soft"])
    unused = [1, 4, 7, 10]
    full = slices[unused]
    low = simulate_low_dose(full, volume.spacing, 0.25, photons=photons, seed=3)
    windows = uniform_windows(full, volume.spacing)
    ratio = noise_sd(low, windows, volume.spacing) / noise_sd(full, windows, volume.spacing)
    assert ratio == pytest.approx(2.0, rel=0.05)
    tissue = (full > -200) & (full < 300)
    assert abs(np.mean(low[tissue] - full[tissue].astype(float))) < 1


def noise_sd_at(noise: np.ndarray, row: float, column: float, radius: float) -> float:
    return float(noise[:, distance_mm(SIZE, SPACING, row, column) < radius].std())


def test_noise_is_larger_in_the_middle_of_a_body_than_at_its_edge() -> None:
    water = water_disc(12)
    noise = low_dose(water) - water
    # The rays through a place at all angles: their variances exp(p) average.
    distance_of_rays = 80 * np.sin(np.linspace(0, np.pi, 720))
    lengths = 2 * np.sqrt(100**2 - distance_of_rays**2)
    expected = np.sqrt(np.exp(MU_WATER_PER_MM * 200) / np.exp(MU_WATER_PER_MM * lengths).mean())
    assert expected > 1.25
    at_edge = np.mean([noise_sd_at(noise, *place, 12) for place in ((0, 80), (80, 0), (0, -80), (-80, 0))])
    assert noise_sd_at(noise, 0, 0, 20) / at_edge == pytest.approx(expected, rel=0.07)


def test_noise_grows_with_the_body() -> None:
    small, large = water_disc(8, radius=60), water_disc(8, radius=110)
    ratio = noise_sd_at(low_dose(large) - large, 0, 0, 30) / noise_sd_at(low_dose(small) - small, 0, 0, 30)
    # 100 mm of water more attenuate by exp(1.92).
    assert ratio == pytest.approx(np.exp(1.92 / 2), rel=0.05)


def streakiness(noise: np.ndarray) -> float:
    """How much more noise changes across rows than along them: 1 where it has no direction."""
    return float(np.diff(noise, axis=1).std() / np.diff(noise, axis=2).std())


def test_streaks_join_dense_objects() -> None:
    water = water_disc(8)
    metal = water.copy()
    for column in (-50, 50):
        metal[:, distance_mm(SIZE, SPACING, 0, column) < 14] = 2500
    noise, in_water = low_dose(metal) - metal, low_dose(water) - water
    between = np.s_[:, 44:52, 36:60]  # 30 mm to the left and to the right of the middle
    beside = np.s_[:, 20:28, 36:60]  # the same, 60 mm above
    assert noise[between].std() > 1.3 * in_water[between].std()
    assert noise[between].std() > 1.25 * noise[beside].std()
    assert streakiness(noise[between]) > 1.3
    assert streakiness(noise[beside]) < 1.0
    assert streakiness(in_water[between]) == pytest.approx(1, abs=0.12)


def spectrum(kernel: str) -> np.ndarray:
    """Noise power in the middle of a water disc of 0.6 mm pixels in five rings of frequency up to the pixels' highest."""
    water = water_disc(12, radius=26, mm=0.6)
    patch = (low_dose(water, spacing=(0.6, 0.6), kernel=kernel) - water)[:, 32:64, 32:64]
    power = np.mean(np.abs(np.fft.fft2(patch - patch.mean(axis=(1, 2), keepdims=True))) ** 2, axis=0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32), indexing="ij"))
    return np.array([power[(frequency > low) & (frequency <= low + 0.1)].mean() for low in (0.0, 0.1, 0.2, 0.3, 0.4)])


def test_noise_power_falls_at_high_frequency_for_the_soft_kernel_and_stays_for_the_sharp_one() -> None:
    soft, sharp = spectrum("soft"), spectrum("sharp")
    assert soft[-1] < 0.05 * soft.max()
    assert sharp[-1] > 0.5 * sharp.max()
    # The ramp leaves little at the lowest frequencies; there the kernels agree but for the sharp one's floor.
    assert sharp[0] < 0.6 * sharp.max()
    assert 0.65 < soft[0] / sharp[0] < 1


def test_a_curve_of_ones_own_is_a_kernel_as_well() -> None:
    water = water_disc(1)
    np.testing.assert_array_equal(low_dose(water, kernel=KERNELS["sharp"]), low_dose(water, kernel="sharp"))
    smooth = low_dose(water, kernel=Kernel(0.05)) - water
    assert smooth[:, 32:64, 32:64].std() < 0.3 * (low_dose(water) - water)[:, 32:64, 32:64].std()


def test_the_same_seed_gives_the_same_noise_and_another_seed_other_noise() -> None:
    water = water_disc(2)
    noise = [low_dose(water, seed=seed) - water for seed in (7, 7, 8)]
    np.testing.assert_array_equal(noise[0], noise[1])
    inside = distance_mm(SIZE, SPACING) < 90
    assert abs(np.corrcoef(noise[0][:, inside].ravel(), noise[2][:, inside].ravel())[0, 1]) < 0.05


def test_slices_have_noise_of_their_own() -> None:
    water = water_disc(5)
    noise = (low_dose(water) - water)[:, distance_mm(SIZE, SPACING) < 90]
    between = np.corrcoef(noise)[~np.eye(5, dtype=bool)]
    assert np.abs(between).max() < 0.1


def test_electronic_noise_is_no_copy_of_the_photons_noise() -> None:
    photons, electronics = unit_noise(water_disc(1))[:, 0, 20:76, 20:76]
    assert abs(np.corrcoef(photons.ravel(), electronics.ravel())[0, 1]) < 0.1


def test_all_kernels_see_the_same_rays() -> None:
    water = water_disc(1)
    soft, sharp = ((low_dose(water, kernel=kernel) - water)[0, 20:76, 20:76] for kernel in ("soft", "sharp"))
    assert np.corrcoef(soft.ravel(), sharp.ravel())[0, 1] > 0.7


def test_unit_noise_gives_every_dose_and_kernel_of_the_simulation() -> None:
    water = water_disc(1)
    rays = unit_noise(water, seed=4)[:, 0]
    for dose, kernel, variance in ((0.5, "soft", 0.0), (0.1, "sharp", 200.0)):
        noise = KERNELS[kernel].shape(extra_noise(rays, dose, photons=1e5, electronic_noise=variance), SPACING)
        low = low_dose(water, dose, kernel=kernel, electronic_noise=variance, seed=4)
        np.testing.assert_array_equal(insert_noise(water[0], noise), low[0])


def test_a_wider_body_has_more_noise_by_its_line_integrals() -> None:
    water = water_disc(1, radius=60)
    beam = ParallelBeam(SIZE, SIZE, SPACING)
    usual, wide = (ray_noise(water[0], beam, seed=1, index=0, electronic=True, girth=girth) for girth in (1.0, 1.5))
    grown = wide[:, 40:56, 40:56].std(axis=(1, 2)) / usual[:, 40:56, 40:56].std(axis=(1, 2))
    # 60 mm of water more: the photons' SD grows by the root of exp(p), the electronics' by exp(p).
    expected = np.exp(MU_WATER_PER_MM * 60)
    np.testing.assert_allclose(grown, [np.sqrt(expected), expected], rtol=0.02)


def test_what_nothing_gets_through_leaves_numbers() -> None:
    metal = np.full((1, 64, 64), 30000, np.int16)
    noise = unit_noise(metal, spacing=(4.0, 4.0))
    assert np.isfinite(noise).all()
    assert low_dose(metal, spacing=(4.0, 4.0), electronic_noise=100.0).dtype == np.int16


def test_a_slices_noise_does_not_depend_on_the_slices_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    water = water_disc(6)
    options = {"electronic_noise": 100.0}
    together = low_dose(water, **options)
    np.testing.assert_array_equal(low_dose(water[:1], **options), together[:1])
    np.testing.assert_array_equal(low_dose(water[:3], **options), together[:3])
    for threads in (1, 5):
        monkeypatch.setattr(noise_insertion, "_THREADS", threads)
        np.testing.assert_array_equal(low_dose(water, **options), together)


def test_a_part_of_a_volume_has_the_noise_of_its_place_in_the_volume() -> None:
    water = water_disc(6)
    np.testing.assert_array_equal(unit_noise(water[3:5], first_slice=3), unit_noise(water)[:, 3:5])


def test_progress_counts_the_slices() -> None:
    seen: list[tuple[int, int]] = []
    low_dose(water_disc(5), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 5) for done in range(1, 6)]


def test_an_interruption_ends_the_simulation() -> None:
    started: list[int] = []

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    def work(index: int) -> None:
        started.append(index)
        time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        each_slice(500, work, interrupt)
    assert len(started) < 100


@pytest.mark.parametrize(("dose", "times"), [(0.5, 1.0), (0.25, 3.0), (0.1, 9.0)])
def test_extra_variance_follows_dose_and_photons(dose: float, times: float) -> None:
    water = water_disc(1)
    half = low_dose(water, 0.5) - water
    np.testing.assert_allclose(
        (low_dose(water, dose) - water)[0, 20:76, 20:76], np.sqrt(times) * half[0, 20:76, 20:76], rtol=1e-3, atol=1e-2
    )
    fewer = low_dose(water, dose, photons=1e5 / 4) - water
    np.testing.assert_allclose(fewer[0, 20:76, 20:76], 2 * np.sqrt(times) * half[0, 20:76, 20:76], rtol=1e-3, atol=1e-2)


def test_electronic_noise_adds_noise() -> None:
    water = water_disc(4)
    sd = [noise_sd_at(low_dose(water, electronic_noise=variance) - water, 0, 0, 60) for variance in (0, 1000, 4000)]
    # Four times the variance, four times what it adds to the photons' variance.
    assert sd[1] > 1.05 * sd[0]
    assert (sd[2] ** 2 - sd[0] ** 2) / (sd[1] ** 2 - sd[0] ** 2) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint8, np.uint16, np.float16, np.float32, np.float64])
def test_voxels_keep_their_type(dtype: type) -> None:
    volume = np.full((1, 24, 24), 40, dtype)
    low = low_dose(volume, spacing=(4.0, 4.0), photons=1e3)
    assert low.dtype == dtype
    assert low.shape == volume.shape
    assert low.astype(float).std() > 5
    if np.issubdtype(dtype, np.unsignedinteger):
        assert 0 in low


integers = st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.int32])


@given(data=st.data(), dtype=integers)
def test_integers_are_rounded_and_saturate_and_padding_stays(data: st.DataObject, dtype: type) -> None:
    limits = np.iinfo(dtype)
    volume = data.draw(arrays(dtype, 20, elements=st.integers(limits.min, limits.max)))
    noise = data.draw(arrays(np.float32, 20, elements=st.floats(-70000, 70000, width=32)))
    result = insert_noise(volume, noise)
    assert result.dtype == dtype
    for before, change, after in zip(volume.tolist(), noise.tolist(), result.tolist(), strict=True):
        if before <= -1024:
            assert after == before
        else:
            exact = min(max(before + change, -1024, limits.min), limits.max)
            assert abs(after - exact) <= 0.501 + 1e-7 * abs(before)


def test_halves_are_rounded_to_the_nearest_and_not_cut_off() -> None:
    volume = np.array([10, 10, 10, -10, -10], np.int16)
    noise = np.array([0.6, 0.4, -0.6, -0.6, 0.6], np.float32)
    np.testing.assert_array_equal(insert_noise(volume, noise), [11, 10, 9, -11, -9])


def test_padding_stays_and_nothing_falls_below_the_scanners_floor() -> None:
    volume = np.rint(water_disc(2)).astype(np.int16)
    volume[:, :10] = -2000
    volume[:, 10:14] = -1024
    volume[:, 14:18] = -1023
    low = low_dose(volume, photons=1e3)
    np.testing.assert_array_equal(low[:, :14], volume[:, :14])
    changed = low[:, 14:]
    assert changed.min() == -1024
    assert np.count_nonzero(changed != volume[:, 14:]) > 0.5 * changed.size


def test_full_dose_is_an_equal_copy() -> None:
    volume = np.rint(water_disc(2)).astype(np.int16)  # without noise: nothing may be calibrated
    low = simulate_low_dose(volume, SPACING, 1.0)
    np.testing.assert_array_equal(low, volume)
    assert not np.shares_memory(low, volume)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_input_is_never_changed(dtype: type) -> None:
    volume = water_disc(2).astype(dtype)
    before = volume.copy()
    volume.flags.writeable = False
    low = low_dose(volume, electronic_noise=10.0)
    np.testing.assert_array_equal(volume, before)
    assert not np.shares_memory(low, volume)


def test_slices_need_not_lie_one_after_the_other_in_memory() -> None:
    volume = np.rint(water_disc(3)).astype(np.int16)
    moved = np.moveaxis(np.ascontiguousarray(np.moveaxis(volume, 0, 2)), 2, 0)
    np.testing.assert_array_equal(low_dose(moved), low_dose(volume))


WATER = water_disc(1, size=24, radius=20)


@pytest.mark.parametrize(
    ("volume", "options", "message"),
    [
        pytest.param(WATER, {"dose": 0.0}, "dose fraction is 0; it must be above 0", id="dose 0"),
        pytest.param(WATER, {"dose": 1.5}, "dose fraction is 1.5; it must be above 0 and at most 1", id="dose 1.5"),
        pytest.param(WATER, {"dose": float("nan")}, "dose fraction is nan", id="dose nan"),
        pytest.param(WATER[0], {}, r"shape \(24, 24\); a non-empty \(slices, rows, columns\)", id="one slice alone"),
        pytest.param(WATER[:0], {}, r"shape \(0, 24, 24\); a non-empty", id="no slices"),
        pytest.param(np.where(WATER == 0, np.nan, WATER), {}, "NaN or infinity", id="nan voxels"),
        pytest.param(WATER, {"photons": 0}, "photons is 0; it must be above 0", id="no photons"),
        pytest.param(WATER, {"photons": -1e5}, r"photons is -100000; it must be above 0", id="negative photons"),
        pytest.param(WATER, {"seed": -1}, "seed is -1; it must be 0 or more", id="negative seed"),
        pytest.param(WATER, {"photons": float("nan")}, "photons is nan; it must be above 0", id="photons nan"),
        pytest.param(WATER, {"electronic_noise": -1.0}, "electronic_noise is -1; a variance", id="negative variance"),
        pytest.param(WATER, {"electronic_noise": float("nan")}, "electronic_noise is nan; a variance", id="variance nan"),
        pytest.param(WATER, {"kernel": "bone"}, "no kernel 'bone'; choose soft or sharp", id="kernel"),
        pytest.param(
            WATER,
            {"photons": None},
            "no measurable noise .* nor denoised, .* photons",
            id="no noise of its own",
        ),
        pytest.param(WATER * 0 - 1000, {"photons": None}, "No uniform soft tissue .* in Python .* photons", id="no soft tissue"),
    ],
)
def test_what_cannot_be_simulated_is_refused_and_named(volume: np.ndarray, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        low_dose(volume, **options)
