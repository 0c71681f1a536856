"""How a model is applied: every option with its default and its words for the command line, in one place.

An option is a field here. The command line makes its flag from it, the worker's messages carry it, ``Denoiser`` takes it, and
what is told of a result names it. Free of torch: panel and command line need it before torch is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any


class Effect(Enum):
    """What an option does to the voxels."""

    NONE = "none"  # speed and memory only; or who denoises, which is told by name and hash
    ROUNDING = "rounding"  # the last bits
    RESULT = "result"


def _option(default: Any, words: str | None = None, *, effect: Effect = Effect.NONE, **told: Any) -> Any:
    """A field: its default, its words in the command line's help, and what else argparse is told."""
    return field(default=default, metadata={"effect": effect, "argument": {"help": words, **told}})


@dataclass(frozen=True)
class DenoisingOptions:
    """How to denoise.

    Attributes:
        model: a shipped model's name, or a model file.
        precision: "auto" (float16 on CUDA, float32 elsewhere), "float32", "float16" or "bfloat16".
        levels: how many levels of the cascade to use; None is all.
        blend: weight of the denoised image, 0 to 1; the rest is the input (the paper's blend is 0.7).
        batch_size: slices computed together; None chooses by free memory.
        backend: "openvino" (on the CPU), "torch" (needs PyTorch), or "auto": OpenVINO on the CPU, PyTorch on a GPU.
        threads: of a CPU; None is one for each core.
        region: "all", or "body": the bounding box of the body in all slices; what lies around it stays as it is.
        device: "auto" (CUDA, then MPS, then CPU), "cuda", "cuda:N", "mps" or "cpu".
    """

    model: str = _option("default", "a shipped model or a model file (default: default)", metavar="NAME|FILE")
    precision: str = _option(
        "auto",
        "of what is computed (default: float16 on CUDA, float32 elsewhere)",
        choices=["auto", "float32", "float16", "bfloat16"],
        effect=Effect.ROUNDING,
    )
    levels: int | None = _option(None, "use the first N levels of the cascade (default: all)", metavar="N", effect=Effect.RESULT)
    blend: float = _option(1.0, "weight of the denoised image (default 1; the paper: 0.7)", metavar="0..1", effect=Effect.RESULT)
    batch_size: int | None = _option(None, "slices at once (default: by free memory)", metavar="N")
    backend: str = _option(
        "auto", "what computes (default: openvino on the CPU, torch on a GPU)", choices=["auto", "openvino", "torch"]
    )
    threads: int | None = _option(None, "of the CPU (default: one for each core)", metavar="N")
    region: str = _option(
        "all",
        "body: leave what lies around its bounding box as it is (faster)",
        choices=["all", "body"],
        effect=Effect.RESULT,
    )
    device: str = _option("auto", "auto (default), cuda, cuda:N, mps or cpu")

    def with_effect(self, *effects: Effect) -> dict[str, Any]:
        """The options that have one of these effects, by name."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.metadata["effect"] in effects}
