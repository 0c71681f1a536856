"""ctkRangeWidget: a lower and an upper value within bounds."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from ..pythonqt.signals import emit, listen


class ctkRangeWidget(QtWidgets.QWidget):
    """Two spin boxes (CTK shows a double slider between them)."""

    NATIVE = True
    valuesChanged = QtCore.Signal(float, float)
    minimumValueChanged = QtCore.Signal(float)
    maximumValueChanged = QtCore.Signal(float)
    rangeChanged = QtCore.Signal(float, float)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        lower, upper = QtWidgets.QDoubleSpinBox(self), QtWidgets.QDoubleSpinBox(self)
        vars(self).update(_lower=lower, _upper=upper, _values=(0.0, 99.0), _range=(0.0, 99.0))
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for box in (lower, upper):
            box.setRange(0.0, 99.0)
            layout.addWidget(box, 1)
        upper.setValue(99.0)
        listen(lower, "valueChanged(double)", self.setMinimumValue)
        listen(upper, "valueChanged(double)", self.setMaximumValue)
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)

    def setValues(self, lower: float, upper: float) -> None:
        bottom, top = vars(self)["_range"]
        lower, upper = sorted((min(max(float(lower), bottom), top), min(max(float(upper), bottom), top)))
        old = vars(self)["_values"]
        for box, value in ((vars(self)["_lower"], lower), (vars(self)["_upper"], upper)):
            blocked = box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(blocked)
        vars(self)["_values"] = (lower, upper)
        if lower != old[0]:
            emit(self, "minimumValueChanged", lower)
        if upper != old[1]:
            emit(self, "maximumValueChanged", upper)
        if (lower, upper) != old:
            emit(self, "valuesChanged", lower, upper)

    def setRange(self, bottom: float, top: float) -> None:
        vars(self)["_range"] = (float(bottom), float(top))
        for box in (vars(self)["_lower"], vars(self)["_upper"]):
            blocked = box.blockSignals(True)
            box.setRange(float(bottom), float(top))
            box.blockSignals(blocked)
        emit(self, "rangeChanged", float(bottom), float(top))
        self.setValues(*vars(self)["_values"])

    def _get_minimum(self) -> float:
        return vars(self)["_range"][0]

    def setMinimum(self, value: float) -> None:
        self.setRange(value, max(value, self._get_maximum()))

    def _get_maximum(self) -> float:
        return vars(self)["_range"][1]

    def setMaximum(self, value: float) -> None:
        self.setRange(min(value, self._get_minimum()), value)

    def _get_minimum_value(self) -> float:
        return vars(self)["_values"][0]

    def setMinimumValue(self, value: float) -> None:
        self.setValues(value, max(value, self._get_maximum_value()))

    def _get_maximum_value(self) -> float:
        return vars(self)["_values"][1]

    def setMaximumValue(self, value: float) -> None:
        self.setValues(min(value, self._get_minimum_value()), value)

    def _get_single_step(self) -> float:
        return QtWidgets.QDoubleSpinBox.singleStep(vars(self)["_lower"])

    def setSingleStep(self, value: float) -> None:
        vars(self)["_lower"].setSingleStep(value)
        vars(self)["_upper"].setSingleStep(value)

    def _get_decimals(self) -> int:
        return QtWidgets.QDoubleSpinBox.decimals(vars(self)["_lower"])

    def setDecimals(self, value: int) -> None:
        vars(self)["_lower"].setDecimals(value)
        vars(self)["_upper"].setDecimals(value)

    def _get_suffix(self) -> str:
        return QtWidgets.QDoubleSpinBox.suffix(vars(self)["_lower"])

    def setSuffix(self, value: str) -> None:
        vars(self)["_lower"].setSuffix(value)
        vars(self)["_upper"].setSuffix(value)

    # The order is that in which a .ui file's loader needs them: bounds before values.
    minimum = QtCore.Property(float, _get_minimum, setMinimum)
    maximum = QtCore.Property(float, _get_maximum, setMaximum)
    minimumValue = QtCore.Property(float, _get_minimum_value, setMinimumValue)
    maximumValue = QtCore.Property(float, _get_maximum_value, setMaximumValue)
    singleStep = QtCore.Property(float, _get_single_step, setSingleStep)
    decimals = QtCore.Property(int, _get_decimals, setDecimals)
    suffix = QtCore.Property(str, _get_suffix, setSuffix)
