"""Draws the thumbnails of the module's sample data: the phantom, and a chest made of ellipses. No patient is shown.

make screenshots
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from LDCTDenoiseLib.simulation.phantom import FIELD_MM, Insert, Phantom, make_phantom

ICONS = Path(__file__).resolve().parent.parent / "LDCTDenoise" / "Resources" / "Icons"
SIZE = 256
ROWS = slice(32, 224)
"""The middle: a picture of 256x192."""
SOFT_TISSUE_WINDOW = (-150.0, 250.0)
LUNG_WINDOW = (-1024.0, 226.0)
DOSE = 0.25
CHEST_DOSE = 0.01
"""Far below a quarter: in the wide lung window the noise of a quarter dose is not seen at this size."""
FINE = 4

CHEST = (
    Insert("skin and fat", -100.0, (0.0, 0.0), (128.0, 182.0)),
    Insert("muscle", 50.0, (0.0, 0.0), (116.0, 168.0)),
    Insert("right lung", -860.0, (-4.0, -80.0), (92.0, 66.0)),
    Insert("left lung", -860.0, (-4.0, 80.0), (92.0, 66.0)),
    Insert("heart", 45.0, (-24.0, 30.0), (46.0, 56.0)),
    Insert("aorta", 160.0, (44.0, 26.0), (13.0, 13.0)),
    Insert("trachea", -980.0, (10.0, 0.0), (9.0, 10.0)),
    Insert("vertebra", 350.0, (72.0, 0.0), (20.0, 24.0)),
    Insert("spinal canal", 20.0, (96.0, 0.0), (8.0, 9.0)),
    Insert("sternum", 350.0, (-100.0, 0.0), (6.0, 18.0)),
    *(Insert("rib", 500.0, (row, column), (9.0, 5.0)) for row in (-46.0, 14.0, 66.0) for column in (-156.0, 156.0)),
    *(
        Insert("lung vessel", -100.0, (row, side * column), (radius, radius))
        for side in (-1, 1)
        for row, column, radius in (
            (-30.0, 96.0, 4.0),
            (0.0, 74.0, 6.0),
            (8.0, 104.0, 3.5),
            (34.0, 88.0, 4.5),
            (50.0, 110.0, 2.5),
        )
    ),
    Insert("nodule", 20.0, (26.0, -112.0), (7.0, 7.0)),
)


def chest() -> Phantom:
    """One slice through a chest, without noise."""
    size = SIZE * FINE
    fine = Phantom(np.full((1, size, size), -1000, np.float32), (FIELD_MM / size,) * 2)
    for insert in CHEST:
        fine.truth[fine.mask(insert)] = insert.hu
    truth = fine.truth.reshape(1, SIZE, FINE, SIZE, FINE).mean(axis=(2, 4))
    return Phantom(truth, (FIELD_MM / SIZE,) * 2)


def left_half_noisy(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    middle = clean.shape[-1] // 2
    return np.concatenate([noisy[..., :middle], clean[..., middle:]], axis=-1)


def write(hu: np.ndarray, window: tuple[float, float], path: Path) -> None:
    low, high = window
    grey = np.clip((hu[0, ROWS] - low) / (high - low), 0, 1) * 255
    sitk.WriteImage(sitk.GetImageFromArray(np.rint(grey).astype(np.uint8)), str(path), useCompression=True)


def main() -> None:
    phantom = make_phantom(1, SIZE)
    write(phantom.scan(DOSE), SOFT_TISSUE_WINDOW, ICONS / "LDCTPhantom.png")
    body = chest()
    write(left_half_noisy(body.truth, body.scan(CHEST_DOSE)), LUNG_WINDOW, ICONS / "LDCTChest.png")


if __name__ == "__main__":
    main()
