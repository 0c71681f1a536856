"""ctkSliderWidget: a slider with a spin box for a floating point value."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from ..pythonqt.signals import emit, listen


class ctkSliderWidget(QtWidgets.QWidget):
    NATIVE = True
    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        spin_box = QtWidgets.QDoubleSpinBox(self)
        vars(self).update(_slider=slider, _spin_box=spin_box, _value=0.0, _tick_interval=0.0, _tracking=True)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(slider, 1)
        layout.addWidget(spin_box)
        listen(spin_box, "valueChanged(double)", self.setValue)
        listen(slider, "valueChanged(int)", self._slider_moved)
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self.setMinimum(0.0)
        self.setMaximum(99.0)
        self.setSingleStep(1.0)

    def _box(self) -> QtWidgets.QDoubleSpinBox:
        return vars(self)["_spin_box"]

    def _slider_moved(self, position: int) -> None:
        self.setValue(position * QtWidgets.QDoubleSpinBox.singleStep(self._box()))

    def _get_value(self) -> float:
        return vars(self)["_value"]

    def setValue(self, value: float) -> None:
        box = self._box()
        blocked = box.blockSignals(True)
        box.setValue(float(value))  # keeps to the range and the decimals
        box.blockSignals(blocked)
        new = QtWidgets.QDoubleSpinBox.value(box)
        slider = vars(self)["_slider"]
        blocked = slider.blockSignals(True)
        slider.setValue(round(new / QtWidgets.QDoubleSpinBox.singleStep(box)))
        slider.blockSignals(blocked)
        if new != vars(self)["_value"]:
            vars(self)["_value"] = new
            emit(self, "valueIsChanging", new)
            emit(self, "valueChanged", new)

    def _get_minimum(self) -> float:
        return QtWidgets.QDoubleSpinBox.minimum(self._box())

    def setMinimum(self, value: float) -> None:
        self._box().setMinimum(float(value))
        self._fit_slider()

    def _get_maximum(self) -> float:
        return QtWidgets.QDoubleSpinBox.maximum(self._box())

    def setMaximum(self, value: float) -> None:
        self._box().setMaximum(float(value))
        self._fit_slider()

    def _get_single_step(self) -> float:
        return QtWidgets.QDoubleSpinBox.singleStep(self._box())

    def setSingleStep(self, value: float) -> None:
        if value <= 0:
            raise ValueError("ctkSliderWidget.singleStep must be positive")
        self._box().setSingleStep(float(value))
        self._fit_slider()

    def _fit_slider(self) -> None:
        step = self._get_single_step()
        slider = vars(self)["_slider"]
        blocked = slider.blockSignals(True)
        slider.setRange(round(self._get_minimum() / step), round(self._get_maximum() / step))
        slider.blockSignals(blocked)
        self.setValue(self._get_value())

    def _get_page_step(self) -> float:
        return QtWidgets.QSlider.pageStep(vars(self)["_slider"]) * self._get_single_step()

    def setPageStep(self, value: float) -> None:
        vars(self)["_slider"].setPageStep(round(float(value) / self._get_single_step()))

    def _get_tick_interval(self) -> float:
        return vars(self)["_tick_interval"]

    def setTickInterval(self, value: float) -> None:
        vars(self)["_tick_interval"] = float(value)

    def _get_decimals(self) -> int:
        return QtWidgets.QDoubleSpinBox.decimals(self._box())

    def setDecimals(self, value: int) -> None:
        self._box().setDecimals(value)

    def _get_suffix(self) -> str:
        return QtWidgets.QDoubleSpinBox.suffix(self._box())

    def setSuffix(self, value: str) -> None:
        self._box().setSuffix(value)

    def _get_prefix(self) -> str:
        return QtWidgets.QDoubleSpinBox.prefix(self._box())

    def setPrefix(self, value: str) -> None:
        self._box().setPrefix(value)

    def isSpinBoxVisible(self) -> bool:
        return not self._box().isHidden()

    def setSpinBoxVisible(self, value: bool) -> None:
        self._box().setVisible(value)

    def hasTracking(self) -> bool:
        return vars(self)["_tracking"]

    def setTracking(self, value: bool) -> None:
        vars(self)["_tracking"] = value

    value = QtCore.Property(float, _get_value, setValue)
    minimum = QtCore.Property(float, _get_minimum, setMinimum)
    maximum = QtCore.Property(float, _get_maximum, setMaximum)
    singleStep = QtCore.Property(float, _get_single_step, setSingleStep)
    pageStep = QtCore.Property(float, _get_page_step, setPageStep)
    tickInterval = QtCore.Property(float, _get_tick_interval, setTickInterval)
    decimals = QtCore.Property(int, _get_decimals, setDecimals)
    suffix = QtCore.Property(str, _get_suffix, setSuffix)
    prefix = QtCore.Property(str, _get_prefix, setPrefix)
    spinBoxVisible = QtCore.Property(bool, isSpinBoxVisible, setSpinBoxVisible)
    tracking = QtCore.Property(bool, hasTracking, setTracking)
