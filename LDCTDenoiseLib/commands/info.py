"""``ldctdenoise info``: versions, devices and optional parts of this installation, for a bug report."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

from ..version import __version__

_PACKAGES = ("torch", "numpy", "SimpleITK", "pydicom", "safetensors")
_EXTRAS = {"report": "torchmetrics", "train": "pytorch-lightning", "openvino": "openvino", "dicom": "pylibjpeg"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("info", help="versions and devices", description=__doc__)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    import torch

    from ..devices import why_no_cuda

    print(f"ldctdenoise {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        print(f"  {package} {_version_of(package)}")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        print(f"  cuda:{index} {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if why_no_cuda():
        print(f"  cuda: no, {why_no_cuda()}")
    print(f"  mps: {'yes' if torch.backends.mps.is_available() else 'no'}")
    print(f"  cpu: {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    for extra, package in _EXTRAS.items():
        print(f"  extra {extra}: {_version_of(package)}")


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
