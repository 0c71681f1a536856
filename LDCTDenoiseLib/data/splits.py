"""Which patients train, validate and test."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from ..errors import InputError
from .ldctbench_split import LDCTBENCH_SPLIT
from .pairs_csv import SPLITS

_SHARES = (0.7, 0.2, 0.1)
_SEED = 1


def ldctbench_split(patients: Iterable[str]) -> dict[str, str]:
    """The benchmark's split of those patients that it knows."""
    split_of = {patient: split for split, members in LDCTBENCH_SPLIT.items() for patient in members}
    return {patient: split_of[patient] for patient in patients if patient in split_of}


def random_split(patients: Collection[str]) -> dict[str, str]:
    """70, 20 and 10 % of the patients, drawn with a fixed seed; at least one to train on."""
    names = sorted(patients)
    np.random.default_rng(_SEED).shuffle(names)
    validate, test = (round(share * len(names)) for share in _SHARES[1:])
    return {
        name: SPLITS[1] if number < validate else SPLITS[2] if number < validate + test else SPLITS[0]
        for number, name in enumerate(names)
    }


def named_split(patients: Collection[str], validate: Collection[str], test: Collection[str]) -> dict[str, str]:
    """Everybody trains but those who are named.

    Raises:
        InputError: a name is not among the patients, or in both lists.
    """
    absent = sorted({*validate, *test} - set(patients))
    if absent:
        raise InputError(f"There is no patient {absent[0]} among {', '.join(sorted(patients))}.")
    both = sorted(set(validate) & set(test))
    if both:
        raise InputError(f"Patient {both[0]} cannot validate and test; name it once.")
    return {name: "validate" if name in validate else "test" if name in test else "train" for name in patients}
