"""ctkCollapsibleButton: a header button over a contents area that it folds away."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from ..pythonqt.signals import emit, listen

_HEADER_PADDING = 8  # px above and below the header's text together
_INDICATOR = 16  # px


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    NATIVE = True
    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        texts = [argument for argument in arguments if isinstance(argument, str)]
        super().__init__(*(argument for argument in arguments if not isinstance(argument, str)))
        vars(self)["_shown"] = {}  # children that are hidden only because the contents are folded
        vars(self)["_collapsed"] = False
        if texts:
            self.setText(texts[0])
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(QtWidgets.QSizePolicy.Minimum, QtWidgets.QSizePolicy.Preferred)
        self.setContentsMargins(0, self._header_height(), 0, 0)
        listen(self, "toggled(bool)", self._follow_checked)

    def isCollapsed(self) -> bool:
        return vars(self)["_collapsed"]

    def setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, isCollapsed, setCollapsed)

    def _follow_checked(self, checked: bool) -> None:
        vars(self)["_collapsed"] = not checked
        if checked:
            shown = vars(self)["_shown"]
            vars(self)["_shown"] = {}
            for child, visible in shown.items():
                child.setVisible(visible)
            self.setMaximumHeight(16777215)
        else:
            for child in self.children():
                if child.isWidgetType():
                    self._fold(child)
            self.setMaximumHeight(self._header_height())
        self.updateGeometry()
        emit(self, "contentsCollapsed", not checked)

    def _fold(self, child: QtWidgets.QWidget) -> None:
        vars(self)["_shown"].setdefault(child, not child.isHidden())
        child.hide()

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        """Children that come while collapsed (a .ui file sets ``collapsed`` first) are folded away too."""
        child = event.child()
        if event.type() == QtCore.QEvent.Type.ChildAdded and child.isWidgetType():
            child.installEventFilter(self)
        elif event.type() == QtCore.QEvent.Type.ChildRemoved:
            vars(self).get("_shown", {}).pop(child, None)
        super().childEvent(event)

    def eventFilter(self, child: QtCore.QObject, event: QtCore.QEvent) -> bool:
        if vars(self).get("_collapsed") and event.type() == QtCore.QEvent.Type.ShowToParent:
            vars(self)["_shown"][child] = True
            child.hide()
        return False

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self._header_height()

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        header = QtCore.QRect(0, 0, QtWidgets.QWidget.width(self), self._header_height())
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = header
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option)
        arrow = QtWidgets.QStyle.PrimitiveElement
        option.rect = QtCore.QRect(4, (header.height() - _INDICATOR) // 2, _INDICATOR, _INDICATOR)
        painter.drawPrimitive(arrow.PE_IndicatorArrowRight if self.isCollapsed() else arrow.PE_IndicatorArrowDown, option)
        text = header.adjusted(_INDICATOR + 8, 0, -4, 0)
        painter.drawItemText(
            text, QtCore.Qt.AlignmentFlag.AlignVCenter, QtWidgets.QWidget.palette(self), self.isEnabled(),
            QtWidgets.QAbstractButton.text(self), QtGui.QPalette.ColorRole.ButtonText,
        )  # fmt: skip

    def _header_height(self) -> int:
        return max(self.fontMetrics().height(), _INDICATOR) + _HEADER_PADDING
