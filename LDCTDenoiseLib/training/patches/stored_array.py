"""An array on disk of which a part is read at a time: it takes neither memory nor an open file, and little to pickle."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np


class StoredArray:
    """An array in a file of NumPy's, mapped anew for every part: kept maps would be more files than systems let be open.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        array = np.load(path, mmap_mode="r")
        self.path = path
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self._strides = array.strides
        self._offset = array.offset

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: Any) -> np.ndarray:
        """A copy of a part, in memory."""
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return np.array(np.ndarray(self.shape, self.dtype, mapped, self._offset, self._strides)[where])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[...].astype(dtype or self.dtype, copy=False)


AnyArray = np.ndarray | StoredArray
"""In memory or on disk."""
