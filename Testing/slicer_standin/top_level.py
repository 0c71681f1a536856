"""Modules that Slicer puts beside ``slicer``: SampleData always, PyTorchUtils where its extension is installed."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path
from typing import Any

from .errors import NotImitated
from .installs import installs


class SampleDataSource:
    """What was registered; the lists of names are as long as the list of addresses, which may be empty but not None."""

    def __init__(self, category: str, sampleName: str, uris: Any, fileNames: Any, **details: Any) -> None:
        if uris is None or fileNames is None:
            raise TypeError(f"Sample '{sampleName}': Slicer walks through uris and fileNames; give lists, if only empty ones")
        self.category, self.sampleName = category, sampleName
        self.uris, self.fileNames = _listed(uris), _listed(fileNames)
        vars(self).update(details)
        if len(self.uris) != len(self.fileNames):
            raise ValueError(f"Sample '{sampleName}': as many file names as addresses are needed")


class SampleDataLogic:
    """Registering works; the network does not exist, which Slicer's own code meets with an IndexError."""

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileType: Any = None,
        loadFiles: Any = None,
        loadFileProperties: Any = None,
        checksums: Any = None,
    ) -> None:
        if not sampleName:
            raise ValueError("A sample needs a name")
        if customDownloader is not None and not callable(customDownloader):
            raise TypeError("customDownloader must be callable")
        if thumbnailFileName is not None and not Path(thumbnailFileName).is_file():
            raise FileNotFoundError(f"No thumbnail {thumbnailFileName}")
        source = SampleDataSource(
            category, sampleName, uris, fileNames, nodeNames=_listed(nodeNames), customDownloader=customDownloader,
            thumbnailFileName=thumbnailFileName, loadFileType=loadFileType, loadFiles=loadFiles, checksums=_listed(checksums),
            loadFileProperties=loadFileProperties or {},
        )  # fmt: skip
        sources = sys.modules["slicer"].modules.sampleDataSources.setdefault(category, [])
        sources[:] = [other for other in sources if other.sampleName != sampleName] + [source]

    def downloadFromURL(self, **_keywords: Any) -> Any:
        raise NotImitated("SampleDataLogic.downloadFromURL: the stand-in has no network")

    def downloadSample(self, sampleName: str) -> Any:
        """In Slicer too this never calls a customDownloader: only the thumbnail's button does."""
        logging.error("Download of %s failed: no network", sampleName)
        nodes: list[Any] = []
        return nodes[0]

    def downloadCTChest(self) -> Any:
        return self.downloadSample("CTChest")


def downloadSample(sampleName: str) -> Any:
    return SampleDataLogic().downloadSample(sampleName)


class PyTorchUtilsLogic:
    """The PyTorch extension; ``application.installs`` says what happens."""

    def torchInstalled(self) -> bool:
        """Whether the stand-in's Python has torch (the extension imports it to find out)."""
        from importlib import metadata

        return "torch" not in installs.absent and any(metadata.distributions(name="torch"))

    def installTorch(
        self,
        askConfirmation: bool = False,
        forceComputationBackend: str | None = None,
        torchVersionRequirement: str | None = None,
        torchvisionVersionRequirement: str | None = None,
    ) -> Any:
        """None if the user declines; else a module, which the stand-in does not import for real."""
        import slicer

        asks = askConfirmation and not slicer.app.commandOptions().testingEnabled
        if asks and not slicer.util.confirmOkCancelDisplay("PyTorch will be downloaded and installed.", "Install PyTorch"):
            return None
        installs.torch.append({
            "askConfirmation": askConfirmation, "forceComputationBackend": forceComputationBackend,
            "torchVersionRequirement": torchVersionRequirement,
            "torchvisionVersionRequirement": torchvisionVersionRequirement,
        })  # fmt: skip
        if installs.fail:
            raise ValueError("Failed to install PyTorch")
        installs.absent.discard("torch")
        return types.ModuleType("torch")


def make_sample_data() -> types.ModuleType:
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic  # type: ignore[attr-defined]
    module.downloadSample = downloadSample  # type: ignore[attr-defined]
    return module


def make_pytorch_utils() -> types.ModuleType:
    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = PyTorchUtilsLogic  # type: ignore[attr-defined]
    return module


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
