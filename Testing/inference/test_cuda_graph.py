"""What is recorded, replayed, forgotten and given up, without a GPU: the recording itself is replaced by a plain call."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from LDCTDenoiseLib.inference.cuda_graph import Replayed


class FakeGraph:
    """Replays as a graph does: the function on the tensors it was recorded with, into the result of the recording."""

    def __init__(self, function: Callable[..., torch.Tensor], setting: int, places: list[torch.Tensor]) -> None:
        self._run = lambda: function(setting, *places)
        self.result = self._run()

    def replay(self) -> None:
        self.result.copy_(self._run())


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> Replayed:
    def record(self: Replayed, setting: int, inputs: tuple[torch.Tensor, ...]) -> tuple[FakeGraph, list, torch.Tensor]:
        places = [one.clone() for one in inputs]
        graph = FakeGraph(self._function, setting, places)
        recorded.append((setting, len(inputs[0])))
        return graph, places, graph.result

    recorded: list[tuple[int, int]] = []
    monkeypatch.setattr(Replayed, "_record", record)
    result = Replayed(lambda factor, x, y: factor * x + y)
    result.recorded = recorded  # type: ignore[attr-defined]
    return result


def pair(x: float, y: float, side: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((side, side), x), torch.full((side, side), y)


def test_each_shape_and_setting_is_recorded_once(replayed: Replayed) -> None:
    for setting, side in [(2, 2), (2, 2), (3, 2), (3, 2), (2, 2)]:
        assert torch.equal(replayed(setting, *pair(5, 1, side)), torch.full((side, side), 5.0 * setting + 1))
    assert replayed.recorded == [(2, 2), (3, 2)]


def test_a_result_is_not_overwritten_by_the_next(replayed: Replayed) -> None:
    first = replayed(2, *pair(5, 1))
    replayed(2, *pair(7, 1))
    assert torch.equal(first, torch.full((2, 2), 11.0))


def test_the_recording_that_was_used_longest_ago_is_forgotten(replayed: Replayed) -> None:
    for side in (2, 3, 2, 4, 2, 3):
        replayed(1, *pair(5, 1, side))
    assert replayed.recorded == [(1, 2), (1, 3), (1, 4), (1, 3)]


def test_what_cannot_be_recorded_is_called_as_it_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[object] = []

    def fails(self: Replayed, *arguments: object) -> None:
        attempts.append(arguments)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Replayed, "_record", fails)
    replayed = Replayed(lambda factor, x, y: factor * x + y)
    with caplog.at_level("INFO"):
        for _ in range(2):
            assert torch.equal(replayed(2, *pair(5, 1)), torch.full((2, 2), 11.0))
    assert len(attempts) == 1
    assert "not permitted" in caplog.text


def test_lack_of_memory_is_the_callers_and_forgets_what_was_recorded(replayed: Replayed, monkeypatch: pytest.MonkeyPatch) -> None:
    replayed(1, *pair(5, 1))

    def full(self: Replayed, *arguments: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Replayed, "_record", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        replayed(1, *pair(5, 1, 3))
    assert not replayed._recordings
    assert replayed._can_record
