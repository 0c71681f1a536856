"""The cascade: order of its levels, what each sees and predicts."""

from __future__ import annotations

import pytest
import torch

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.models.cascade import SYSTEMS, Cascade, Level, Predicts, Sees
from Testing.conftest import random_cascade


def test_system_c_subtracts_the_second_networks_prediction_from_the_first_result() -> None:
    cascade = random_cascade("C")
    x = torch.rand(1, 1, 24, 24)
    with torch.inference_mode():
        first = cascade.network(0)(x)
        torch.testing.assert_close(cascade(x), first - cascade.network(1)(first))


def test_fewer_levels_give_the_earlier_levels_result() -> None:
    cascade = random_cascade("3-level")
    x = torch.rand(1, 1, 24, 24)
    with torch.inference_mode():
        result = cascade.network(0)(x)
        torch.testing.assert_close(cascade(x, levels=1), result)
        result = result - cascade.network(1)(result)
        torch.testing.assert_close(cascade(x, levels=2), result)
        torch.testing.assert_close(cascade(x), result - cascade.network(2)(result))


def test_system_a_predicts_the_noise_in_the_input() -> None:
    cascade = random_cascade("A")
    x = torch.rand(1, 1, 24, 24)
    with torch.inference_mode():
        torch.testing.assert_close(cascade(x), x - cascade.network(0)(x))


def test_wus_later_levels_see_original_and_previous_result() -> None:
    cascade = random_cascade("Wu")
    x = torch.rand(1, 1, 24, 24)
    with torch.inference_mode():
        first = x - cascade.network(0)(x)
        second = first - cascade.network(1)(torch.cat([x, first], dim=1))
        torch.testing.assert_close(cascade(x, levels=2), second)


@pytest.mark.parametrize(("system", "radius"), [("A", 17), ("B", 17), ("C", 34), ("D", 34), ("3-level", 51), ("Wu", 55)])
def test_halo_is_the_sum_of_the_levels_radii(system: str, radius: int) -> None:
    assert Cascade(SYSTEMS[system]).radius() == radius


def test_halo_counts_only_the_levels_in_use() -> None:
    assert Cascade(SYSTEMS["3-level"]).radius(levels=2) == 34


@pytest.mark.parametrize("levels", [0, 3, -1])
def test_levels_that_are_not_there_are_refused(levels: int) -> None:
    with pytest.raises(InputError, match="2 level"):
        Cascade(SYSTEMS["C"])(torch.rand(1, 1, 8, 8), levels=levels)


@pytest.mark.parametrize(
    ("network", "sees"), [("drl", Sees.PREVIOUS_AND_ORIGINAL), ("cnn10-wu", Sees.PREVIOUS), (["drl"], Sees.PREVIOUS)]
)
def test_a_level_shows_its_network_what_it_takes(network: str, sees: Sees) -> None:
    with pytest.raises(ValueError, match=r"cannot see|is no name"):
        Level(network, Predicts.IMAGE, sees)


def test_a_level_survives_its_record() -> None:
    level = Level("cnn10-wu", Predicts.DIFFERENCE, Sees.PREVIOUS_AND_ORIGINAL)
    assert Level.from_metadata(level.as_metadata()) == level
