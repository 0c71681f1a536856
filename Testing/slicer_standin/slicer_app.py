"""``slicer.app``: what a module may ask of the application; anything else raises."""

from __future__ import annotations

import os
import tempfile
from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .core_scene import CoreScene
from .errors import NotImitated
from .io_manager import qSlicerCoreIOManager
from .layout_manager import qSlicerLayoutManager
from .pythonqt.signals import emit

DEFAULT_VERSION = (5, 12)


class qSlicerCoreCommandOptions(QtCore.QObject):
    NATIVE = True

    def __init__(self) -> None:
        super().__init__()
        vars(self).update(_testing=False, _run_and_exit=False)

    def _get_testing(self) -> bool:
        return vars(self)["_testing"]

    def _get_run_and_exit(self) -> bool:
        return vars(self)["_run_and_exit"]

    def _set_run_and_exit(self, value: bool) -> None:
        vars(self)["_run_and_exit"] = value

    testingEnabled = QtCore.Property(bool, _get_testing)
    runPythonAndExit = QtCore.Property(bool, _get_run_and_exit, _set_run_and_exit)
    noMainWindow = QtCore.Property(bool, lambda _self: True)


class qSlicerModuleManager(QtCore.QObject):
    NATIVE = True
    moduleLoaded = QtCore.Signal(str)
    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def module(self, name: str) -> Any:
        return slicer.modules.find(name)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(slicer.modules.names())

    def factoryManager(self) -> qSlicerModuleManager:
        return self

    def loadedModuleNames(self) -> tuple[str, ...]:
        return tuple(slicer.modules.names())


class qSlicerApplication(QtWidgets.QApplication):
    NATIVE = True
    startupCompleted = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)
    SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"}

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(arguments)
        self.setApplicationName("Slicer")
        self.setApplicationVersion("5.12.4")
        self.setOrganizationName("LDCTDenoise-stand-in")
        self.setQuitOnLastWindowClosed(False)
        vars(self).update(
            _version=DEFAULT_VERSION,
            _options=qSlicerCoreCommandOptions(),
            _modules=qSlicerModuleManager(),
            _folder=tempfile.TemporaryDirectory(prefix="slicer-stand-in-"),
            _environment=QtCore.QProcessEnvironment.systemEnvironment(),
        )

    def start_scene(self, core: CoreScene) -> None:
        """The stand-in's own: the managers of a new scene."""
        vars(self).update(_core=core, _layout=qSlicerLayoutManager(core), _io=qSlicerCoreIOManager(core))
        emit(self, "mrmlSceneChanged", core.scene)

    def end_scene(self) -> None:
        vars(self)["_layout"].stop()
        vars(self).update(_core=None, _layout=None, _io=None)

    # The scene and its views

    def applicationLogic(self) -> slicer.vtkSlicerApplicationLogic:
        return vars(self)["_core"].application_logic

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return vars(self)["_core"].scene

    def layoutManager(self) -> qSlicerLayoutManager:
        return vars(self)["_layout"]

    def coreIOManager(self) -> qSlicerCoreIOManager:
        return vars(self)["_io"]

    def ioManager(self) -> qSlicerCoreIOManager:
        return vars(self)["_io"]

    def moduleManager(self) -> qSlicerModuleManager:
        return vars(self)["_modules"]

    def pauseRender(self) -> None:
        pass

    def resumeRender(self) -> None:
        pass

    # The session

    def commandOptions(self) -> qSlicerCoreCommandOptions:
        return vars(self)["_options"]

    def testingEnabled(self) -> bool:
        return vars(vars(self)["_options"])["_testing"]

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        return QtCore.QProcessEnvironment(vars(self)["_environment"])

    def userSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def translate(self, _context: str, text: str) -> str:
        if not isinstance(text, str):
            raise TypeError(f"translate takes a str, not {text!r}")
        return text  # the stand-in speaks English

    def restart(self) -> None:
        raise NotImitated("slicer.app.restart is not imitated")

    def pythonConsole(self) -> None:
        return None

    def _path(self, name: str) -> str:
        path = os.path.join(vars(self)["_folder"].name, name)  # noqa: PTH118 - as Qt gives it
        os.makedirs(path, exist_ok=True)  # noqa: PTH103
        return path

    temporaryPath = QtCore.Property(str, lambda self: self._path("temporary"))
    cachePath = QtCore.Property(str, lambda self: self._path("cache"))
    slicerHome = QtCore.Property(str, lambda self: self._path("home"))
    slicerUserSettingsFilePath = QtCore.Property(str, lambda _self: QtCore.QSettings().fileName())
    majorVersion = QtCore.Property(int, lambda self: vars(self)["_version"][0])
    minorVersion = QtCore.Property(int, lambda self: vars(self)["_version"][1])
    revision = QtCore.Property(str, lambda _self: "0")
    platform = QtCore.Property(str, lambda _self: "linux-amd64")
    os = QtCore.Property(str, lambda _self: "linux")
    arch = QtCore.Property(str, lambda _self: "amd64")
    intDir = QtCore.Property(str, lambda _self: "")
    isInstalled = QtCore.Property(bool, lambda _self: True)


def use_palette(application: qSlicerApplication, *, dark: bool = False) -> None:
    """A light or dark palette whatever the machine's theme, for the same pictures everywhere."""
    application.setStyle("Fusion")
    scheme = QtCore.Qt.ColorScheme.Dark if dark else QtCore.Qt.ColorScheme.Light
    application.styleHints().setColorScheme(scheme)
    palette = QtGui.QPalette(QtWidgets.QApplication.style().standardPalette())
    if dark:
        ground, text = QtGui.QColor(50, 50, 50), QtGui.QColor(230, 230, 230)
        roles = QtGui.QPalette.ColorRole
        for role in (roles.Window, roles.Base, roles.Button, roles.AlternateBase, roles.ToolTipBase):
            palette.setColor(role, ground)
        for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.ToolTipText, roles.BrightText):
            palette.setColor(role, text)
        for role in (roles.WindowText, roles.Text, roles.ButtonText):
            palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor(130, 130, 130))
    application.setPalette(palette)
