"""The engine: HU in, HU out, whatever the batch, the tile or the memory."""

from __future__ import annotations

import gc
import logging
import math
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from LDCTDenoiseLib import Denoiser, load_model
from LDCTDenoiseLib.ct.hu import DEFAULT_SCALE, finish_hu
from LDCTDenoiseLib.errors import DenoisingCancelled, DeviceError, InputError, ModelError
from LDCTDenoiseLib.inference import computer, openvino_computer
from LDCTDenoiseLib.inference.tiling import apply_in_tiles, tile_spans
from LDCTDenoiseLib.models.model_file import save_model


@pytest.fixture(scope="module")
def denoiser(tiny_model: Path) -> Denoiser:
    return Denoiser(tiny_model, device="cpu")


def noisy_volume(slices: int = 3, rows: int = 40, columns: int = 48, kind: type = np.int16) -> np.ndarray:
    return np.random.default_rng(0).normal(40, 60, (slices, rows, columns)).astype(kind)


def test_result_is_input_plus_prediction_minus_clamped_input(denoiser: Denoiser, tiny_model: Path) -> None:
    volume = noisy_volume(kind=np.float32)
    volume[0, 0, :4] = [5000, -3000, 3071, -1024]
    cascade, _ = load_model(tiny_model)
    unit = torch.from_numpy(DEFAULT_SCALE.to_unit(volume))[:, None]
    with torch.inference_mode():
        change = (cascade(unit) - unit)[:, 0].numpy() * 4095
    np.testing.assert_allclose(denoiser(volume), finish_hu(volume, change), atol=2e-3)


def test_values_outside_the_networks_range_survive(denoiser: Denoiser) -> None:
    volume = noisy_volume()
    volume[1, 20, 20] = 20000
    result = denoiser(volume)
    assert result[1, 20, 20] > 15000


def test_padding_is_untouched_and_everything_else_is_denoised(denoiser: Denoiser) -> None:
    volume = noisy_volume(kind=np.int32)
    volume[:, :, :5] = -3024
    volume[:, :, 5:8] = 63
    result = denoiser(volume, padding_value=63)
    assert (result[:, :, :5] == -3024).all()
    assert (result[volume == 63] == 63).all()
    assert (result[:, :, 8:] != volume[:, :, 8:]).mean() > 0.8


@pytest.mark.parametrize("shape", [(4, 40, 48), (2, 40, 48), (1, 2, 2), (3, 40, 47), (3, 40), ()])
@pytest.mark.parametrize("slices", [None, (0, 2)])
def test_a_mask_of_another_shape_is_refused(denoiser: Denoiser, shape: tuple[int, ...], slices: tuple[int, int] | None) -> None:
    volume = noisy_volume()
    with pytest.raises(InputError, match=r"^The mask has shape \(.*\), and the volume \(3, 40, 48\); they must be the same\.$"):
        denoiser(volume, slices=slices, padding_value=np.zeros(shape, bool))


def test_a_mask_of_numbers_is_refused_and_not_taken_for_hu(denoiser: Denoiser) -> None:
    volume = noisy_volume()
    with pytest.raises(InputError, match=r"^The mask is of type uint8; give a boolean one, such as mask > 0\.$"):
        denoiser(volume, padding_value=(volume > 40).astype(np.uint8))
    assert np.array_equal(denoiser(volume, padding_value=np.int16(63)), denoiser(volume, padding_value=63))


@pytest.mark.parametrize(
    ("kind", "out"), [(np.int16, np.int8), (np.int16, np.float32), (np.float32, np.int16), (np.float64, float)]
)
def test_an_output_of_another_type_than_the_result_is_refused(denoiser: Denoiser, kind: type, out: type) -> None:
    volume = noisy_volume(kind=kind)
    kept = np.full(volume.shape, 7, out)
    with pytest.raises(InputError, match=r"^The output is of type \w+, and the result is \w+; make the output of that type\.$"):
        denoiser(volume, out=kept)
    assert (kept == 7).all()
    swapped = np.empty(volume.shape, denoiser(volume).dtype.newbyteorder())
    np.testing.assert_array_equal(denoiser(volume, out=swapped), denoiser(volume))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64])
def test_integer_types_keep_their_type(denoiser: Denoiser, kind: type) -> None:
    volume = np.clip(noisy_volume(1), 0, 100).astype(kind)
    result = denoiser(volume)
    assert result.dtype == kind
    reference = denoiser(volume.astype(np.float32))
    limits = np.iinfo(kind)
    np.testing.assert_array_equal(result, np.clip(np.rint(reference), limits.min, limits.max).astype(kind))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floating_types_give_float32(denoiser: Denoiser, kind: type) -> None:
    assert denoiser(noisy_volume(1).astype(kind)).dtype == np.float32


@pytest.mark.parametrize("layout", ["fortran", "reversed", "big-endian", "read-only"])
def test_memory_layout_does_not_matter_and_the_input_is_not_changed(denoiser: Denoiser, layout: str) -> None:
    plain = noisy_volume()
    volume = {
        "fortran": np.asfortranarray(plain),
        "reversed": plain[::-1].copy()[::-1],
        "big-endian": plain.astype(">i2"),
        "read-only": plain.copy(),
    }[layout]
    volume.flags.writeable = False
    np.testing.assert_array_equal(denoiser(volume), denoiser(plain))
    np.testing.assert_array_equal(volume, plain)


def test_blend_zero_gives_the_input_back(tiny_model: Path) -> None:
    volume = noisy_volume(kind=np.int32)
    volume[0, 0, :4] = [2**30, -(2**30), 5000, -1025]
    np.testing.assert_array_equal(Denoiser(tiny_model, device="cpu", blend=0)(volume), volume)


def test_a_blend_that_is_changed_later_is_checked_too(tiny_model: Path) -> None:
    denoiser = Denoiser(tiny_model, "cpu")
    with pytest.raises(InputError, match="from 0"):
        denoiser.blend = 1.5
    denoiser.blend = 0.0
    np.testing.assert_array_equal(denoiser(noisy_volume()), noisy_volume())


def test_blend_weighs_the_denoised_image(denoiser: Denoiser, tiny_model: Path) -> None:
    volume = noisy_volume(kind=np.float32)
    blended = Denoiser(tiny_model, device="cpu", blend=0.7)(volume)
    np.testing.assert_allclose(blended, 0.3 * volume + 0.7 * denoiser(volume), atol=1e-3)


def test_levels_use_the_first_ones(tiny_model: Path) -> None:
    volume = noisy_volume(1, kind=np.float32)
    cascade, _ = load_model(tiny_model)
    unit = torch.from_numpy(DEFAULT_SCALE.to_unit(volume))[:, None]
    with torch.inference_mode():
        expected = volume + (cascade.network(0)(unit) - unit)[:, 0].numpy() * 4095
    np.testing.assert_allclose(Denoiser(tiny_model, device="cpu", levels=1)(volume), expected, atol=2e-3)


def test_slices_outside_the_range_are_copied(denoiser: Denoiser) -> None:
    volume = noisy_volume(5)
    result = denoiser(volume, slices=(1, 3))
    np.testing.assert_array_equal(result[[0, 3, 4]], volume[[0, 3, 4]])
    np.testing.assert_array_equal(result[1:3], denoiser(volume)[1:3])


@pytest.mark.parametrize("slices", [(-1, 2), (2, 2), (3, 2), (0, 4)])
def test_a_slice_range_outside_the_volume_is_refused(denoiser: Denoiser, slices: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"slice range .* 3 slices"):
        denoiser(noisy_volume(), slices=slices)


def test_slices_do_not_depend_on_their_neighbours_or_the_batch(tiny_model: Path) -> None:
    volume = noisy_volume(5)
    together = Denoiser(tiny_model, device="cpu", batch_size=4)(volume)
    alone = Denoiser(tiny_model, device="cpu", batch_size=1)(volume)
    assert np.abs(together.astype(int) - alone).max() <= 1  # a rounding, where the sum lies on a half
    assert (together != alone).mean() < 0.01


def test_cpu_runs_are_bitwise_repeatable(denoiser: Denoiser, tiny_model: Path) -> None:
    volume = noisy_volume(kind=np.float32)
    first = denoiser(volume)
    np.testing.assert_array_equal(denoiser(volume), first)
    np.testing.assert_array_equal(Denoiser(tiny_model, device="cpu")(volume), first)


def test_progress_counts_every_slice_once(tiny_model: Path) -> None:
    calls: list[tuple[int, int]] = []
    Denoiser(tiny_model, device="cpu", batch_size=2)(
        noisy_volume(6), slices=(1, 6), progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_cancel_stops_before_the_next_batch(tiny_model: Path) -> None:
    done: list[int] = []
    with pytest.raises(DenoisingCancelled):
        Denoiser(tiny_model, device="cpu", batch_size=1)(
            noisy_volume(9), progress=lambda count, total: done.append(count), cancel=lambda: len(done) >= 2
        )
    assert done == [1, 2]


@given(length=st.integers(1, 300), tile=st.integers(1, 120), halo=st.integers(0, 40))
def test_tiles_cover_an_axis_once(length: int, tile: int, halo: int) -> None:
    covered = np.zeros(length, int)
    for read, keep, put in tile_spans(length, tile, halo):
        covered[put] += 1
        np.testing.assert_array_equal(np.arange(length)[read][keep], np.arange(length)[put])
    assert (covered == 1).all()


@pytest.mark.parametrize("tile", [64, 100])
@pytest.mark.parametrize("levels", [1, 2])
def test_tiles_give_the_same_voxels_as_the_whole_slice(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tile: int, levels: int
) -> None:
    volume = noisy_volume(1, 150, 201, np.float32)
    denoiser = Denoiser(tiny_model, device="cpu", levels=levels)
    whole = denoiser(volume)
    monkeypatch.setattr(computer, "CPU_TILE", tile)
    np.testing.assert_allclose(denoiser(volume), whole, atol=1e-3)


def test_a_halo_one_pixel_short_would_show(tiny_model: Path) -> None:
    images = torch.rand(1, 1, 150, 90, dtype=torch.float64)
    cascade = load_model(tiny_model)[0].double()
    radius = cascade.radius()
    with torch.inference_mode():
        whole = cascade(images)
        exact = apply_in_tiles(cascade, images, 75, radius, torch.empty_like)
        short = apply_in_tiles(cascade, images, 75, radius - 1, torch.empty_like)
    assert (exact - whole).abs().max() < 1e-12
    assert (short - whole).abs().max() > 1e-12


OUT_OF_MEMORY = [
    ("torch", torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 64.00 MiB.")),
    (
        "torch",  # Linux
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
            "67108864 bytes. Error code 12 (Cannot allocate memory)"
        ),
    ),
    (
        "torch",  # Windows
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate "
            "67108864 bytes."
        ),
    ),
    ("torch", MemoryError("Unable to allocate 2.00 MiB for an array with shape (1, 1, 512, 1024) and data type float32")),
    (
        "openvino",
        RuntimeError(
            "Exception from src/inference/src/cpp/core.cpp:117:\nException from src/inference/src/dev/plugin.cpp:54:\n"
            "Check 'ptr' failed at src/plugins/intel_cpu/src/cpu_memory.cpp:257:\nFailed to allocate 335544320 bytes of memory\n"
        ),
    ),
    ("openvino", RuntimeError("Exception from src/inference/src/dev/plugin.cpp:54:\ncan't alloc\n")),
    ("openvino", MemoryError("std::bad_alloc")),
]
"""What the backends say; those of the CPU under Linux as they came with a limit to the address space."""


class Memory:
    """A device that runs out of memory above a number of pixels."""

    def __init__(
        self, denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch, pixels: int, error: Exception = OUT_OF_MEMORY[-1][1]
    ) -> None:
        self.seen: list[tuple[int, ...]] = []
        predict = denoiser._computer.predict

        def limited(x: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
            self.seen.append(tuple(x.shape))
            if math.prod(x.shape) > pixels:
                raise error
            return predict(x)

        monkeypatch.setattr(denoiser._computer, "predict", limited)


@pytest.mark.parametrize(("backend", "error"), OUT_OF_MEMORY)
def test_out_of_memory_halves_the_batch_then_tiles(
    tiny_model: Path, backend: str, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    volume = noisy_volume(5, 150, 160, np.float32)
    expected = Denoiser(tiny_model, device="cpu", batch_size=1)(volume)
    denoiser = Denoiser(tiny_model, device="cpu", batch_size=4, backend=backend)
    memory = Memory(denoiser, monkeypatch, 20_000, error)
    calls: list[int] = []
    with caplog.at_level(logging.WARNING):
        result = denoiser(volume, progress=lambda done, total: calls.append(done))
    np.testing.assert_allclose(result, expected, atol=1e-3)
    assert [shape[0] for shape in memory.seen[:3]] == [4, 2, 1]
    assert max(shape[0] * shape[2] * shape[3] for shape in memory.seen[4:]) <= 20_000
    assert calls == [1, 2, 3, 4, 5]
    assert "Out of memory" in caplog.text


def test_too_little_memory_for_any_tile_says_so(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = Denoiser(tiny_model, device="cpu")
    Memory(denoiser, monkeypatch, pixels=10)
    with pytest.raises(DeviceError, match="not enough memory"):
        denoiser(noisy_volume())


def test_other_failures_are_not_taken_for_lack_of_memory(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = Denoiser(tiny_model, device="cpu")

    def broken(x: np.ndarray) -> np.ndarray:
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(denoiser._computer, "predict", broken)
    with pytest.raises(RuntimeError, match="no kernel image"):
        denoiser(noisy_volume())


def test_bfloat16_stays_near_float32(denoiser: Denoiser, tiny_model: Path) -> None:
    volume = noisy_volume(1, kind=np.float32)
    difference = Denoiser(tiny_model, device="cpu", precision="bfloat16")(volume) - denoiser(volume)
    assert 0 < np.abs(difference).max() < 4  # steps of 8 HU would mean that the input itself was rounded


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 7), (2, 3, 5), (1, 63, 65)])
def test_the_smallest_matrices_work(denoiser: Denoiser, shape: tuple[int, ...]) -> None:
    result = denoiser(np.full(shape, -50, np.int16))
    assert result.shape == shape


@pytest.mark.parametrize(
    ("volume", "sentence"),
    [
        (np.zeros((4, 4), np.int16), "shape"),
        (np.zeros((1, 4, 4, 1), np.int16), "shape"),
        (np.zeros((0, 4, 4), np.int16), "empty"),
        (np.zeros((1, 4, 0), np.float32), "empty"),
        (np.zeros((1, 4, 4), bool), "type bool"),
        (np.zeros((1, 4, 4), np.complex64), "type complex64"),
        (np.full((1, 4, 4), np.nan, np.float32), "NaN or infinity in 16 voxels"),
        (np.array([[[0.0, np.inf]]]), "NaN or infinity in 1 voxel"),
    ],
)
def test_volumes_that_cannot_be_denoised_are_refused(denoiser: Denoiser, volume: np.ndarray, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        denoiser(volume)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"blend": 1.01}, InputError, "blend is 1.01"),
        ({"blend": -0.5}, InputError, "blend is -0.5"),
        ({"blend": float("nan")}, InputError, "blend is nan"),
        ({"batch_size": 0}, InputError, "batch size is 0"),
        ({"precision": "int8"}, InputError, "no precision 'int8'"),
        ({"levels": 3}, InputError, "2 level"),
        ({"device": "tpu"}, DeviceError, "'tpu' is not a device"),
        ({"device": "cpu:1"}, DeviceError, "not a device"),
        ({"device": "cuda:99"}, DeviceError, "CUDA cannot be used|no cuda:99"),
        ({"model": "no-such-model"}, ModelError, "no model 'no-such-model'"),
    ],
)
def test_options_that_cannot_be_are_refused(
    tiny_model: Path, options: dict[str, object], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Denoiser(**({"model": tiny_model, "device": "cpu"} | options))  # type: ignore[arg-type]


def test_automatic_choice_says_which_device_and_why(tiny_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        device = Denoiser(tiny_model).device
    assert f"Device: {device}" in caplog.text
    assert device.type == "cuda" or "because" in caplog.text


def test_a_denoiser_that_is_dropped_gives_its_memory_back_at_once(tiny_model: Path) -> None:
    denoiser = Denoiser(tiny_model, device="cpu")
    denoiser(np.zeros((1, 16, 16), np.int16))
    dropped = weakref.ref(denoiser)
    gc.disable()  # which would come some time later
    try:
        del denoiser
        assert dropped() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32])
@pytest.mark.parametrize("region", ["all", "body"])
def test_a_result_that_is_not_finite_is_an_error(tiny_model: Path, tmp_path: Path, kind: type, region: str) -> None:
    cascade, info = load_model(tiny_model)
    cascade.network(0).last_layer.weight.data.fill_(3e38)  # finite, and its sums are not
    save_model(cascade, info, tmp_path / "steep.safetensors")
    steep = Denoiser(tmp_path / "steep.safetensors", "cpu", region=region)
    with pytest.raises(DeviceError, match=r"NaN or infinity in .* voxels, computed in float32 on cpu"):
        steep(noisy_volume(kind=kind))


def test_an_error_about_one_volume_leaves_the_next_one_right(denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = noisy_volume()
    expected = denoiser(volume)
    with monkeypatch.context() as context:
        context.setattr(openvino_computer, "apply_in_tiles", lambda network, unit, *_: np.full_like(unit, np.nan))
        with pytest.raises(DeviceError, match="in 5760 voxels"):
            denoiser(volume)
    np.testing.assert_array_equal(denoiser(volume), expected)


def test_voxels_beyond_float32_are_refused(denoiser: Denoiser) -> None:
    with pytest.raises(InputError, match="1 voxel"):
        denoiser(np.array([[[0.0, 1e300]]]))
