from __future__ import annotations

import math

import numpy as np
import pytest

from LDCTDenoiseLib.simulation.phantom import (
    EDGE_CYLINDERS,
    INSERTS,
    LOW_CONTRAST_DISCS,
    MUSCLE_HU,
    POINT_SPREAD_MM,
    Insert,
    Phantom,
    make_phantom,
    other_body,
)

LARGE_DISCS = [disc for disc in LOW_CONTRAST_DISCS if disc.name == "low-contrast disc"]
SMALL_DISCS = [disc for disc in LOW_CONTRAST_DISCS if disc.name == "small low-contrast disc"]


def insert(name: str) -> Insert:
    return next(one for one in INSERTS if one.name == name)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    """At the size of a clinical matrix: the smallest discs are 3 mm in radius."""
    return make_phantom(slices=2, size=512)


@pytest.fixture(scope="module")
def small() -> Phantom:
    return make_phantom(slices=4, size=128)


@pytest.mark.parametrize(
    ("row", "column", "hu"),
    [
        (-113, 0, -100),  # subcutaneous fat
        (60, -100, 50),  # muscle of the back
        (20, 20, -95),  # abdominal fat
        (-22, -110, 60),  # liver
        (-30, 15, 30),  # stomach
        (48, 62, 140),  # left kidney
        (52, -58, 140),  # right kidney
        (32, 10, 180),  # aorta
        (32, -16, 110),  # vena cava
        (66, 0, 180),  # marrow
        (92, 0, 20),  # spinal canal
        (-62, 22, -950),  # bowel gas
        (0, 134, 700),  # rib
        (0, -134, 700),
        (-190, -190, -1000),  # air
    ],
)
def test_tissues_have_their_hu(phantom: Phantom, row: float, column: float, hu: float) -> None:
    middle, mm = 512 / 2 - 0.5, 400 / 512
    values = phantom.truth[:, round(middle + row / mm), round(middle + column / mm)]
    np.testing.assert_allclose(values, hu, atol=0.5)


def test_low_contrast_discs_differ_from_the_liver_by_5_to_20_hu(phantom: Phantom) -> None:
    for discs, sign, margin in ((LARGE_DISCS, 1, 2.5), (SMALL_DISCS, -1, 2.0)):
        contrasts = []
        for disc in discs:
            # The liver around it, clear of the blurred border and of the next disc.
            around = phantom.mask(disc, -2.8) & ~phantom.mask(disc, -1.5)
            np.testing.assert_allclose(phantom.truth[around], 60, atol=0.5)
            contrasts.append(phantom.truth[phantom.mask(disc, margin)].mean() - phantom.truth[around].mean())
        np.testing.assert_allclose(sorted(sign * c for c in contrasts), [5, 10, 15, 20], atol=0.3)


def test_low_contrast_discs_lie_inside_the_liver_and_apart(phantom: Phantom) -> None:
    # With its blurred border each disc stays clear of the liver's.
    liver = phantom.mask(insert("liver"), 3.0)
    discs = [phantom.mask(disc, -1.5) for disc in LOW_CONTRAST_DISCS]
    assert all(disc.any(axis=(1, 2)).all() for disc in discs)
    assert not any((disc & ~liver).any() for disc in discs)
    assert np.sum(discs, axis=0).max() == 1


def test_edge_cylinders_stand_in_muscle_with_contrasts_of_50_to_400_hu(phantom: Phantom) -> None:
    contrasts = []
    for cylinder in EDGE_CYLINDERS:
        around = phantom.mask(cylinder, -4.0) & ~phantom.mask(cylinder, -2.0)
        np.testing.assert_allclose(phantom.truth[around], MUSCLE_HU, atol=0.5)
        contrasts.append(phantom.truth[phantom.mask(cylinder, 2.5)].mean() - MUSCLE_HU)
    np.testing.assert_allclose(sorted(contrasts), [50, 100, 200, 400], atol=0.3)


@pytest.mark.parametrize("cylinder", EDGE_CYLINDERS, ids=lambda cylinder: f"{cylinder.hu:g} HU")
def test_edges_are_blurred_by_the_point_spread_at_their_true_place(phantom: Phantom, cylinder: Insert) -> None:
    middle, mm = 512 / 2 - 0.5, phantom.spacing[0]
    row, column = np.mgrid[:512, :512]
    distance = np.hypot((row - middle) * mm - cylinder.centre[0], (column - middle) * mm - cylinder.centre[1])
    share = (phantom.truth[0] - MUSCLE_HU) / (cylinder.hu - MUSCLE_HU)
    # The edge in rings of 0.2 mm; around a circle the pixels' grid samples it finely.
    rings = np.arange(6, 12, 0.2)
    which = np.digitize(distance, rings)
    profile = np.array([share[which == ring].mean() for ring in range(1, len(rings))])
    place = (rings[:-1] + rings[1:]) / 2
    falling = np.interp([0.1, 0.5, 0.9], profile[::-1], place[::-1])
    assert falling[1] == pytest.approx(cylinder.radii[0], abs=0.1)
    # A Gaussian's edge rises from 10 to 90 % over 1.09 of its full width at half maximum; pixels are squares of 0.8 mm.
    expected = 1.09 * math.hypot(POINT_SPREAD_MM, mm * math.sqrt(8 * math.log(2) / 12))
    assert falling[0] - falling[2] == pytest.approx(expected, rel=0.1)


def test_edges_do_not_ring_or_shift_the_background(phantom: Phantom) -> None:
    assert phantom.truth.min() >= -1000.01
    assert phantom.truth.max() <= 700.01
    np.testing.assert_allclose(phantom.truth[:, [0, -1]], -1000, atol=0.01)
    np.testing.assert_allclose(phantom.truth[:, :, [0, -1]], -1000, atol=0.01)


@pytest.mark.parametrize("size", [96, 128, 250])
def test_the_field_is_400_mm_whatever_the_matrix(size: int) -> None:
    phantom = make_phantom(slices=1, size=size)
    assert phantom.truth.shape == (1, size, size)
    assert phantom.truth.dtype == np.float32
    assert phantom.spacing == (400 / size, 400 / size)
    # The body is an ellipse of 250 x 340 mm; its air-to-fat border lies where half of 900 HU is reached.
    area = np.count_nonzero(phantom.truth > -550) * phantom.spacing[0] ** 2
    assert area == pytest.approx(math.pi * 125 * 170, rel=0.01)


def test_mask_is_the_inside_of_the_insert(small: Phantom) -> None:
    kidney = insert("left kidney")
    mask = small.mask(kidney)
    mm = small.spacing[0]
    row, column = (np.nonzero(mask[0])[axis].mean() - 63.5 for axis in (0, 1))
    assert (row * mm, column * mm) == pytest.approx(kidney.centre, abs=0.5)
    assert mask[0].sum() * mm**2 == pytest.approx(math.pi * 24 * 17, rel=0.04)
    height, width = (np.ptp(np.nonzero(mask[0])[axis]) + 1 for axis in (0, 1))
    assert height * mm == pytest.approx(48, abs=2 * mm)
    assert width * mm == pytest.approx(34, abs=2 * mm)


def test_mask_keeps_its_margin_from_the_border(small: Phantom) -> None:
    kidney = insert("left kidney")
    inner, mask, outer = (small.mask(kidney, margin) for margin in (4.0, 0.0, -4.0))
    assert inner.sum() < mask.sum() < outer.sum()
    assert (mask | ~inner).all()
    assert (outer | ~mask).all()
    assert inner[0].sum() * small.spacing[0] ** 2 == pytest.approx(math.pi * 20 * 13, rel=0.05)
    # By 4 mm, more than a pixel and the blur, hardly anything but kidney is left.
    np.testing.assert_allclose(small.truth[inner], 140, atol=1)


def test_a_margin_that_leaves_nothing_gives_an_empty_mask(small: Phantom) -> None:
    assert not small.mask(SMALL_DISCS[0], 3.0).any()
    assert not small.mask(SMALL_DISCS[0], 30.0).any()


def test_organs_change_along_the_slices_as_truth_and_mask_agree(small: Phantom) -> None:
    kidney = insert("left kidney")
    areas = small.mask(kidney).sum(axis=(1, 2))
    assert (np.diff(areas) < 0).all()
    # 20 % off both radii in the last slice.
    assert areas[-1] / areas[0] == pytest.approx(0.8**2, rel=0.05)
    seen = ((small.truth > 110) & small.mask(kidney, -8.0)).sum(axis=(1, 2))
    np.testing.assert_allclose(seen / seen[0], areas / areas[0], atol=0.05)


def test_quarter_dose_scan_has_twice_the_noise_and_no_shift(small: Phantom) -> None:
    body = small.mask(insert("muscle"), 10.0)
    full, quarter = (small.scan(dose, seed=seed)[body] - small.truth[body] for dose, seed in ((1.0, 1), (0.25, 2)))
    # Some 15,000 voxels, but the noise of neighbours is not independent.
    assert quarter.std() / full.std() == pytest.approx(2.0, rel=0.05)
    assert abs(full.mean()) < 0.2
    assert abs(quarter.mean()) < 0.2


def test_full_dose_scan_has_the_noise_of_an_abdomen_scan(phantom: Phantom) -> None:
    one_slice = Phantom(phantom.truth[:1], phantom.spacing)
    noise = one_slice.scan() - one_slice.truth
    assert 15 < noise[one_slice.mask(insert("liver"))].std() < 20


def test_scan_is_int16_hu_as_from_a_scanner(small: Phantom) -> None:
    scan = small.scan(0.1)
    assert scan.dtype == np.int16
    assert scan.shape == small.truth.shape
    assert scan.min() >= -1024
    assert np.abs(scan[:, :10] + 1000).mean() < 30  # air stays air


def test_the_same_seed_gives_the_same_scan(small: Phantom) -> None:
    scans = [small.scan(0.5, seed=seed) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(scans[0], scans[1])
    body = small.mask(insert("muscle"), 10.0)
    one, other = (scans[index][body] - small.truth[body] for index in (0, 2))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    np.testing.assert_array_equal(make_phantom(slices=4, size=128).truth, small.truth)


def test_other_bodies_are_other_patients_and_repeatable() -> None:
    usual, one, again, other = (
        make_phantom(1, 64, inserts).truth for inserts in (INSERTS, other_body(1), other_body(1), other_body(2))
    )
    np.testing.assert_array_equal(one, again)
    for unlike in (usual, other):
        assert np.abs(one - unlike).mean() > 5
