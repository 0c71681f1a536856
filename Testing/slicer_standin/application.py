"""What tests drive: start the application, load a module, press, wait, look, save, close."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from . import modules as module_entries
from . import top_level, util_overrides
from .core_scene import CoreScene
from .ctk_widgets import CTK_WIDGETS
from .errors import NotImitated
from .installs import installs
from .messages import messages
from .mrml_widgets import MRML_WIDGETS
from .mrml_widgets.node_combo_box import stop_observing
from .pythonqt import manners, signals
from .pythonqt.qt_module import make_qt_module
from .pythonqt.signals import emit, listen
from .slicer_app import DEFAULT_VERSION, qSlicerApplication, use_palette
from .subject_hierarchy import SubjectHierarchyItems

_PACKAGE = Path(__file__).parent / "slicer_package"


class Application:
    """The one application of this process; ``start_application()`` gives it."""

    def __init__(self) -> None:
        manners.install()
        self.app = qSlicerApplication(["Slicer"])
        use_palette(self.app)
        self.messages = messages
        self.installs = installs
        self.exceptions: list[BaseException] = []  # raised in slots and observers; Slicer prints them and goes on
        self.loaded: list[module_entries.qSlicerScriptedLoadableModule] = []
        self._core: CoreScene | None = None
        self._items: SubjectHierarchyItems | None = None
        self._settings_folder = Path(self.app.temporaryPath).parent / "settings"
        self._install_python_modules()
        sys.excepthook = self._record_exception
        atexit.register(self._shut_down)
        self.reset()

    # The session

    def reset(self) -> None:
        """A fresh session: no modules, a new scene, no settings, messages or recorded installs, Slicer 5.12."""
        self.unload_modules()
        signals.disconnect_all(self.app)
        self._new_scene()
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, str(self._settings_folder))
        QtCore.QSettings().clear()
        self.messages.forget()
        self.installs.forget()
        self.exceptions.clear()
        self.set_testing_mode(False)
        self.set_dark(False)
        self.set_version(*DEFAULT_VERSION)
        self.set_pytorch_extension(True)
        self._forget_overridden_cursors()

    def set_version(self, major: int, minor: int) -> None:
        """Before 5.12 there is no ``slicer.packaging``."""
        vars(self.app)["_version"] = (major, minor)
        if (major, minor) < (5, 12):
            sys.modules["slicer.packaging"] = None  # type: ignore[assignment]
            vars(slicer).pop("packaging", None)
            slicer.util.pip_install = installs.pip
        else:
            from . import slicer_packaging

            sys.modules["slicer.packaging"] = slicer.packaging = slicer_packaging
            slicer.util.pip_install = slicer_packaging.pip_install

    def set_pytorch_extension(self, installed: bool) -> None:
        sys.modules["PyTorchUtils"] = top_level.make_pytorch_utils() if installed else None  # type: ignore[assignment]

    def set_dark(self, dark: bool) -> None:
        """The style "Dark Slicer", about."""
        use_palette(self.app, dark=dark)

    def set_testing_mode(self, testing: bool) -> None:
        vars(vars(self.app)["_options"])["_testing"] = testing

    def run_main_loop(self, action: Callable[[], Any], quit_after_s: float) -> None:
        """Do something within the application's own event loop, and close the main window after some seconds.

        Qt ends that loop and every QEventLoop within it; a loop of ``processEvents`` goes on until it ends by itself, and
        aboutToQuit comes only then (Qt 5.15; Qt 6 is quicker with it).
        """

        def close_window() -> None:
            self.app.blockSignals(True)
            QtWidgets.QApplication.quit()
            self.app.blockSignals(False)

        timers = []
        for delay_s, do in ((0.0, action), (quit_after_s, close_window)):
            timer = QtCore.QTimer()
            timer.setSingleShot(True)
            listen(timer, "timeout()", do)
            timer.start(round(1000 * delay_s))
            timers.append(timer)
        QtWidgets.QApplication.exec()
        emit(self.app, "aboutToQuit")
        self.unload_modules()

    def quit(self) -> None:
        """What leaving Slicer does: aboutToQuit, then the modules are unloaded."""
        emit(self.app, "aboutToQuit")
        self.unload_modules()
        self.process_events()

    # Modules

    def load_module(self, path: str | Path, *, panel: bool = True) -> module_entries.qSlicerScriptedLoadableModule:
        """Load a scripted module; with its panel made, shown and entered as when a user selects it."""
        entry = module_entries.load_scripted_module(Path(path).resolve())
        self.loaded.append(entry)
        emit(self.app.moduleManager(), "moduleLoaded", entry.name)
        emit(self.app, "startupCompleted")
        if panel:
            widget = entry.widgetRepresentation()
            widget.show()
            widget.enter()
        return entry

    def reload_module(self, entry: module_entries.qSlicerScriptedLoadableModule) -> None:
        """What the Reload button does."""
        entry.widgetRepresentation().self().onReload()

    def unload_modules(self) -> None:
        for entry in self.loaded:
            emit(self.app.moduleManager(), "moduleAboutToBeUnloaded", entry.name)
            module_entries.unload_scripted_module(entry)
        self.loaded.clear()
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)

    # The scene

    def close_scene(self) -> None:
        slicer.mrmlScene.Clear(False)
        self.process_events()

    def save_scene(self, path: str | Path) -> None:
        """A .mrml file with the data of all storable nodes beside it."""
        path = Path(path)
        for index in range(slicer.mrmlScene.GetNumberOfNodes()):
            node = slicer.mrmlScene.GetNthNode(index)
            volume = node.IsA("vtkMRMLVolumeNode") and node.GetImageData() and node.GetSaveWithScene()
            if volume and not slicer.util.saveNode(node, str(path.parent / f"{node.GetID()}.nrrd"), {}):
                raise OSError(f"{node.GetName()} could not be saved")
        if not slicer.util.saveScene(str(path), {}):
            raise OSError(f"The scene could not be saved to {path}")

    def load_scene(self, path: str | Path) -> None:
        """Replace the scene by a saved one."""
        slicer.mrmlScene.Clear(False)
        slicer.util.loadScene(str(path), {})
        self.process_events()

    # A person's hands, time and eyes

    def choose(self, selector: QtWidgets.QWidget, entry: str) -> None:
        """Pick an entry of a QComboBox or a node selector by its text, as a person does."""
        combo_box = selector if isinstance(selector, QtWidgets.QComboBox) else vars(selector)["_combo"]
        index = combo_box.findText(entry)
        if index < 0:
            raise ValueError(f"No entry '{entry}': {[combo_box.itemText(i) for i in range(combo_box.count)]}")
        combo_box.setCurrentIndex(index)
        emit(combo_box, "activated", index)

    def process_events(self, seconds: float = 0.0) -> None:
        end = time.monotonic() + seconds
        while True:
            QtWidgets.QApplication.processEvents()
            QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
            if time.monotonic() >= end:
                return
            time.sleep(0.002)

    def wait_until(self, condition: Callable[[], Any], timeout_s: float = 10.0, what: str = "") -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"Waited {timeout_s} s in vain for: {what or condition}")
            self.process_events(0.005)

    def grab(self, widget: QtWidgets.QWidget, path: str | Path, width: int | None = None, scale: float = 1.0) -> Path:
        """A picture of a widget in its preferred height at a width (px); ``scale`` 1.5 is a display at 150 %."""
        self.process_events(0.02)  # layouts take note of changed texts
        if width is not None:
            height = widget.heightForWidth(width) if widget.hasHeightForWidth() else 0
            widget.resize(width, max(height, QtWidgets.QWidget.sizeHint(widget).height()))
        self.process_events(0.02)
        size = QtWidgets.QWidget.size(widget)
        image = QtGui.QImage(size * scale, QtGui.QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(scale)
        image.fill(QtCore.Qt.GlobalColor.white)
        widget.render(image)
        if not image.save(str(path)):
            raise OSError(f"No picture could be written to {path}")
        return Path(path)

    @contextlib.contextmanager
    def expected_exceptions(self) -> Iterator[list[BaseException]]:
        """Exceptions of slots within the block are expected: they are given and forgotten."""
        seen: list[BaseException] = []
        before = len(self.exceptions)
        yield seen
        seen.extend(self.exceptions[before:])
        del self.exceptions[before:]

    # Making and ending it

    def _shut_down(self) -> None:
        """At the process's end: Qt's objects go before Python's, which would else end in a crash."""
        self.unload_modules()
        self._drop_scene()
        sys.excepthook = sys.__excepthook__
        self.app.shutdown()

    def _install_python_modules(self) -> None:
        for name in slicer.util.__all__:  # slicer-core puts slicer.util's names into slicer, the application does not
            vars(slicer).pop(name, None)
        slicer.__path__.append(str(_PACKAGE))
        slicer.app = self.app
        slicer.modules = module_entries.Modules()
        for cls in (*MRML_WIDGETS.values(), module_entries.qSlicerScriptedLoadableModule,
                    module_entries.qSlicerScriptedLoadableModuleWidget):  # fmt: skip
            setattr(slicer, cls.__name__, cls)
        sys.modules["qt"] = make_qt_module()
        ctk = types.ModuleType("ctk")
        vars(ctk).update(CTK_WIDGETS)
        ctk.__getattr__ = _no_such_ctk  # type: ignore[method-assign]
        sys.modules["ctk"] = ctk
        sys.modules["SampleData"] = top_level.make_sample_data()
        util_overrides.install()
        for name in ("i18n", "parameterNodeWrapper", "ScriptedLoadableModule"):
            importlib.import_module(f"slicer.{name}")

    def _new_scene(self) -> None:
        self._drop_scene()
        self._core = CoreScene()
        slicer.mrmlScene = self._core.scene
        self._items = SubjectHierarchyItems(self._core.scene)
        vars(slicer.modules)["sampleDataSources"] = {}
        module_entries.core_modules(slicer.modules, self._core)
        slicer.selfTests = {}
        self.app.start_scene(self._core)

    def _drop_scene(self) -> None:
        if self._core is None or self._items is None:
            return
        stop_observing()
        self._items.stop()
        self.app.end_scene()
        vars(slicer.modules).clear()
        self._core.end()
        self._core = self._items = None

    def _record_exception(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        self.exceptions.append(error)
        sys.__excepthook__(kind, error, trace)

    def _forget_overridden_cursors(self) -> None:
        while QtWidgets.QApplication.overrideCursor() is not None:
            QtWidgets.QApplication.restoreOverrideCursor()


def _no_such_ctk(name: str) -> Any:
    raise NotImitated(f"module 'ctk' has no attribute '{name}' on the stand-in")


_application: Application | None = None


def start_application() -> Application:
    """The application of this process, started on the first call: without a display, in a light palette."""
    global _application
    if _application is None:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        _application = Application()
    return _application
