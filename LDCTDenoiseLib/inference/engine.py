"""The engine: a model applied slice by slice to a volume in HU."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from numbers import Integral, Real

import numpy as np

from ..ct.hu import finish_hu
from ..ct.hu_check import check_finite
from ..errors import DeviceError, InputError, counted
from ..models.level import levels_to_use
from ..models.model_file import Model, read_model
from ..models.options import DenoisingOptions
from ..models.provenance import Provenance
from ..system.argument_types import check_number, check_pair, check_type, check_whole
from ..system.devices import find_device
from ..system.pytorch import require_torch
from .backends import Backend, choose_backend, choose_precision
from .body_box import Box, Region, box_to_denoise
from .computer import Computer
from .openvino_computer import OpenVINOComputer

log = logging.getLogger(__name__)


class Denoiser:
    """Denoises CT volumes with one model on one device.

    Examples:
        >>> import numpy as np
        >>> from LDCTDenoiseLib import Denoiser
        >>> volume = np.zeros((2, 64, 64), np.int16)
        >>> Denoiser(device="cpu")(volume).shape
        (2, 64, 64)

    Args:
        model: a shipped model's name, or a model file.
        device: "auto" (CUDA, then MPS, then CPU), "cuda", "cuda:N", "mps" or "cpu".
        precision: "auto" (float16 on CUDA, float32 elsewhere), "float32", "float16" or "bfloat16". A CPU without instructions for
            what is asked computes in float32.
        batch_size: slices computed together; None chooses by free memory.
        levels: how many levels of the cascade to use; None is all.
        blend: weight of the denoised image, 0 to 1; the rest is the input (the paper's blend is 0.7).
        backend: "openvino" (on the CPU), "torch" (needs PyTorch), or "auto": OpenVINO on the CPU, PyTorch on a GPU.
        threads: of a CPU; None is one for each core.
        region: "all", or "body": the bounding box of the body in all slices; what lies around it stays as it is.

    Raises:
        ModelError: the model is missing or damaged.
        DeviceError: the device is not there.
        InputError: another argument is out of range.
        MissingTorchError: PyTorch is asked for, and not installed.
        MissingExtraError: OpenVINO is asked for, and not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "default",
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        levels: int | None = None,
        blend: float = 1.0,
        backend: str = "auto",
        threads: int | None = None,
        region: str = "all",
    ) -> None:
        check_type(model, (str, os.PathLike), "model", "a shipped model's name or a file's path")
        check_type(device, str, "device", "a name such as 'cpu' or 'cuda:0'")
        for name, number in {"number of levels": levels, "batch size": batch_size, "number of threads": threads}.items():
            check_whole(number, name)
        self._options = DenoisingOptions(
            model=os.fspath(model),
            device=device,
            precision=precision,
            batch_size=batch_size,
            levels=levels,
            blend=blend,
            backend=backend,
            threads=threads,
            region=region,
        )
        self.blend = blend
        if batch_size is not None and batch_size < 1:
            raise InputError(f"The batch size is {batch_size}; it must be at least 1.")
        if threads is not None and threads < 1:
            raise InputError(f"The number of threads is {threads}; it must be at least 1.")
        try:
            self.region = Region(region)
        except ValueError:
            raise InputError(f"There is no region '{region}'; choose one of {', '.join(one.value for one in Region)}.") from None
        content = read_model(model)
        self.info = content.info
        self.levels = levels_to_use(self.info.levels, levels)
        self.batch_size = batch_size
        self.threads = threads
        self.device = find_device(device)
        self.backend = choose_backend(backend, self.device, precision)
        self._precision = choose_precision(precision, self.device, self.backend)
        self._halo = sum(level.architecture.radius for level in self.info.levels[: self.levels])
        self._computer = self._prepare(content)
        self._computing = threading.Lock()

    @classmethod
    def from_options(cls, options: DenoisingOptions) -> Denoiser:
        """A denoiser as the options say."""
        return cls(**{one.name: getattr(options, one.name) for one in fields(options)})

    def __repr__(self) -> str:
        return (
            f"<Denoiser {self.info.name}: {counted(self.levels, 'level')}, blend {self.blend:g}, {self._precision.value} "
            f"on {self.device} by {self.backend.value}>"
        )

    @property
    def options(self) -> DenoisingOptions:
        """As asked for, but with the levels that are used and the blend of now."""
        return replace(self._options, levels=self.levels, blend=self.blend)

    def provenance(self, slices: tuple[int, int]) -> Provenance:
        """What makes the next result.

        Args:
            slices: half-open range that is denoised.
        """
        device, backend = str(self.device), self.backend.value
        return Provenance(self.info.name, self.info.model_hash, self.options, slices, device, backend)

    @property
    def blend(self) -> float:
        """Weight of the denoised image; it can be changed between volumes."""
        return self._blend

    @blend.setter
    def blend(self, blend: float) -> None:
        check_number(blend, "blend")
        if not 0 <= blend <= 1:
            raise InputError(f"The blend is {blend:g}; it must be from 0 (input) to 1 (denoised).")
        self._blend = blend

    @property
    def halo(self) -> int:
        """How many pixels away a voxel can change the result."""
        return self._halo

    def _prepare(self, model: Model) -> Computer:
        """The levels that are used, as the backend computes them."""
        if self.backend is Backend.OPENVINO:
            return OpenVINOComputer(model, self.levels, self._precision, self.threads)
        require_torch()
        import torch

        from .torch_computer import TorchComputer

        return TorchComputer(model, self.levels, torch.device(str(self.device)), self._precision, self.threads)

    def __call__(
        self,
        volume: np.ndarray,
        *,
        slices: tuple[int, int] | None = None,
        progress: Callable[[int, int], object] | None = None,
        cancel: Callable[[], bool] | None = None,
        padding_value: float | np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Denoise a volume.

        Args:
            volume: (slices, rows, columns) in HU, any real type. Not changed.
            slices: zero-based half-open range to denoise; the others are copied. None is all.
            progress: called with (slices done, slices to do) after every batch.
            cancel: asked before every batch; true stops.
            padding_value: HU of padding voxels, or their boolean mask, of the volume's shape. They come out as they went
                in (below -1024 HU they always do).
            out: where the result goes, of its shape and type; None makes a new array.

        Returns:
            Same shape. Integer types keep their type (rounded, saturated); floating types give float32.

        Raises:
            InputError: wrong shape or type, empty, voxels that are not finite, or slices out of range.
            DenoisingCancelled: ``cancel`` returned true.
            DeviceError: not enough memory, even for small tiles, or a result that is not finite.
        """
        _check_volume(volume)
        start, stop = _check_slices(slices, len(volume))
        kind = volume.dtype if np.issubdtype(volume.dtype, np.integer) else np.dtype(np.float32)
        if out is None:
            out = np.empty(volume.shape, kind)
        check_type(out, np.ndarray, "output", "a numpy array of the volume's shape")
        if out.shape != volume.shape:
            raise InputError(f"The output has shape {out.shape}, and the volume {volume.shape}; they must be the same.")
        if not np.can_cast(kind, out.dtype, "equiv"):  # the byte order may differ
            raise InputError(f"The output is of type {out.dtype}, and the result is {kind}; make the output of that type.")
        if padding_value is not None:
            check_type(padding_value, (Real, np.ndarray), "padding value", "a number of HU or a mask")
        if isinstance(padding_value, np.ndarray) and padding_value.shape != volume.shape:
            raise InputError(f"The mask has shape {padding_value.shape}, and the volume {volume.shape}; they must be the same.")
        if isinstance(padding_value, np.ndarray) and padding_value.dtype != np.bool_:
            raise InputError(f"The mask is of type {padding_value.dtype}; give a boolean one, such as mask > 0.")
        out[:start] = volume[:start]
        out[stop:] = volume[stop:]
        padding = padding_value[start:stop] if isinstance(padding_value, np.ndarray) else padding_value
        with self._computing, self._computer.running():  # threads that share a denoiser take turns
            self._fill(out[start:stop], volume[start:stop], progress, cancel, padding)
        return out

    def _fill(
        self,
        out: np.ndarray,
        volume: np.ndarray,
        progress: Callable[[int, int], object] | None,
        cancel: Callable[[], bool] | None,
        padding: float | np.ndarray | None,
    ) -> None:
        total, *shape = volume.shape
        box = box_to_denoise(volume, self.region, padding)
        if box is None:
            out[:] = volume
            if progress is not None:
                progress(total, total)
            return
        outer = box.grown(self._halo, (shape[0], shape[1]))
        plan = self._computer.plan(total, *outer.shape, self.batch_size)
        self._computer.reset()
        done = 0
        while done < total:
            try:
                part = slice(done, None), outer.rows, outer.columns
                left = padding[part] if isinstance(padding, np.ndarray) else padding
                for result in self._computer.results(volume[part], left, plan, self.blend, cancel):
                    if self._computer.counts_at_once:
                        self._check_finite()
                    self._put(result, box, outer, done, out, volume, padding)
                    done += len(result)
                    if progress is not None:
                        progress(done, total)
            except (RuntimeError, MemoryError) as error:
                if not self._computer.is_out_of_memory(error):
                    raise
                plan = plan.smaller()
                log.warning("Out of memory on %s; going on with %s.", self.device, plan)
                self._computer.forget()
        self._check_finite()

    def _check_finite(self) -> None:
        if bad := self._computer.count_not_finite():
            computed = f"computed in {self._precision.value} on {self.device}"
            raise DeviceError(
                f"The network gave NaN or infinity in {counted(bad, 'voxel')}, {computed}; use the precision float32, the device "
                "cpu, or another model."
            )

    def _put(
        self,
        result: np.ndarray,
        box: Box,
        outer: Box,
        first: int,
        out: np.ndarray,
        volume: np.ndarray,
        padding: float | np.ndarray | None,
    ) -> None:
        """Put a batch's result into the output: finished voxels of small integers, else changes in HU."""
        part, inner = slice(first, first + len(result)), box.within(outer)
        result = result[:, inner.rows, inner.columns]
        if box.shape != volume.shape[1:]:
            out[part] = volume[part]
        where = part, box.rows, box.columns
        if np.issubdtype(result.dtype, np.integer):
            out[where] = result
        else:
            out[where] = finish_hu(volume[where], result, padding[where] if isinstance(padding, np.ndarray) else padding)


def _check_volume(volume: np.ndarray) -> None:
    check_type(volume, np.ndarray, "volume", "a numpy array (slices, rows, columns) in HU")
    if volume.ndim != 3:
        raise InputError(f"The volume has shape {volume.shape}; (slices, rows, columns) is needed.")
    if volume.size == 0:
        raise InputError(f"The volume is empty: its shape is {volume.shape}.")
    if not (np.issubdtype(volume.dtype, np.integer) or np.issubdtype(volume.dtype, np.floating)):
        raise InputError(f"The voxels are of type {volume.dtype}; integers or floating-point numbers in HU are needed.")
    check_finite(volume)


def _check_slices(slices: tuple[int, int] | None, count: int) -> tuple[int, int]:
    if slices is not None:
        check_pair(slices, Integral, "slice range", "a pair of whole numbers (first, last + 1)")
    start, stop = slices if slices is not None else (0, count)
    if not 0 <= start < stop <= count:
        raise InputError(
            f"The slice range {start}:{stop} does not lie within the volume's {counted(count, 'slice')} (0:{count})."
        )
    return start, stop
