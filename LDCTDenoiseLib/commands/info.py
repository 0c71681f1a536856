"""``ldctdenoise info``: versions, devices and optional parts of this installation, for a bug report."""

from __future__ import annotations

import argparse
import platform

from ..version import __version__

_PACKAGES = ("numpy", "SimpleITK", "pydicom", "safetensors", "openvino", "finufft")
_EXTRAS = {
    "torch": "torch",
    "demo": "Pillow",
    "report": "torchmetrics",
    "train": "pytorch-lightning",
    "dicom": "pylibjpeg",
    "onnx": "onnxruntime",
    "stores": "s3fs",
    "dicomweb": "dicomweb-client",
    "cluster": "ray",
    "completion": "argcomplete",
    "bm3d": "bm3d",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("info", help="versions and devices", description=__doc__)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..system.devices import list_devices, why_no_cuda

    print(f"ldctdenoise {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        print(f"  {package} {_version_of(package)}")
    for device in list_devices():
        print(f"  device {device['label']}")
    if why_no_cuda():
        print(f"  cuda: no, {why_no_cuda()}")
    for extra, package in _EXTRAS.items():
        print(f"  extra {extra}: {_version_of(package)}")


def _version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # slow, and every command's start imports this file

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
