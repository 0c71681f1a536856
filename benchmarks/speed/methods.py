"""What is timed side by side: the engine with each backend, the same networks in plain PyTorch, other networks, other methods."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import SimpleITK as sitk
import torch

from LDCTDenoiseLib import Denoiser, load_model
from LDCTDenoiseLib.ct.hu import DEFAULT_SCALE
from LDCTDenoiseLib.inference.backends import Backend, onednn, openvino
from LDCTDenoiseLib.models.architectures import NETWORKS, Architecture
from LDCTDenoiseLib.models.model_info import find_model, read_info
from LDCTDenoiseLib.models.networks import build_network

NOISE_HU = 20.0


@dataclass(frozen=True)
class Method:
    """A way to denoise.

    Attributes:
        apply: (slices, rows, columns) int16 in HU to anything.
        flop_per_pixel: of its convolutions; None where it has none.
        slow: timed less often.
    """

    apply: Callable[[np.ndarray], object]
    flop_per_pixel: float | None = None
    slow: bool = False


def engines(device: torch.device, levels: int | None = None, threads: int | None = None) -> dict[str, Method]:
    """The engine with every backend and precision that this machine has."""
    flop = _flop(levels)

    def engine(**options: str) -> Method:
        return Method(Denoiser(device=str(device), levels=levels, threads=threads, **options), flop)

    if device.type == "cuda":
        return {f"engine, {name}": engine(precision=name) for name in ("float16", "bfloat16", "float32")}
    found = {"engine, torch": engine(backend=Backend.TORCH.value)}
    if openvino.is_installed():
        found["engine, openvino"] = engine(backend=Backend.OPENVINO.value)
    if onednn.has_bfloat16() and onednn.is_usable():
        found["engine, torch, bfloat16"] = engine(backend=Backend.TORCH.value, precision="bfloat16")
    return found


def _flop(levels: int | None) -> float:
    described = read_info(find_model("default")).levels
    return sum(flop_per_pixel(level.architecture) for level in described[:levels])


def flop_per_pixel(network: Architecture) -> float:
    """Multiplications and additions of the convolutions."""
    return 2.0 * sum(sum(network.source_channels(one)) * one.filters * one.size**2 for one in network.layers)


def references(device: torch.device) -> dict[str, Method]:
    """The same networks in plain PyTorch, and other networks (with random weights: that costs the same time)."""
    cascade, _ = load_model()
    cnn10, redcnn = (build_network(name).eval() for name in ("cnn10", "redcnn"))
    return {
        "the same cascade, plain PyTorch": Method(_eager(cascade, device), _flop(None), slow=True),
        "CNN10, plain PyTorch": Method(_eager(cnn10, device), flop_per_pixel(NETWORKS["cnn10"]), slow=True),
        "RED-CNN, plain PyTorch": Method(_eager(redcnn, device), flop_per_pixel(NETWORKS["redcnn"]), slow=True),
    }


def _eager(network: torch.nn.Module, device: torch.device) -> Callable[[np.ndarray], object]:
    network = network.to(device).requires_grad_(False)

    @torch.inference_mode()
    def apply(volume: np.ndarray) -> object:
        results = []
        for one in volume:
            unit = DEFAULT_SCALE.to_unit(torch.from_numpy(one.astype(np.float32)).to(device))
            results.append(network(unit[None, None]).cpu())
        return results

    return apply


def classics() -> dict[str, Method]:
    """Methods without networks, with usual settings for the noise of the slices."""
    from skimage.restoration import denoise_nl_means

    found = {
        "non-local means, scikit-image": Method(
            lambda volume: [
                denoise_nl_means(one.astype(np.float32), patch_size=5, patch_distance=8, h=0.8 * NOISE_HU, sigma=NOISE_HU)
                for one in volume
            ],
            slow=True,
        ),
        "curvature anisotropic diffusion, SimpleITK": Method(_diffuse),
        "median 3x3, SimpleITK": Method(lambda volume: [sitk.Median(sitk.GetImageFromArray(one), [1, 1]) for one in volume]),
    }
    if find_spec("bm3d") is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from bm3d import bm3d
        found["BM3D"] = Method(lambda volume: [bm3d(one.astype(np.float32), NOISE_HU) for one in volume], slow=True)
    return found


def _diffuse(volume: np.ndarray) -> object:
    images = [sitk.GetImageFromArray(one.astype(np.float32)) for one in volume]
    return [sitk.CurvatureAnisotropicDiffusion(one, timeStep=0.0625, numberOfIterations=5) for one in images]


def noisy_slices(count: int, side: int) -> np.ndarray:
    """Something like CT: a disc of soft tissue in air, with noise; what is in a slice changes no method's time."""
    across = np.linspace(-1, 1, side)
    disc = np.where(np.hypot(*np.meshgrid(across, across)) < 0.8, 40.0, -1000.0)
    return (disc + np.random.default_rng(0).normal(0, NOISE_HU, (count, side, side))).astype(np.int16)
