"""The qMRML widgets that a panel of this project may use, on the real MRML scene."""

from .mrml_widget import qMRMLWidget
from .node_combo_box import qMRMLNodeComboBox
from .slider_widget import qMRMLSliderWidget

MRML_WIDGETS = {cls.__name__: cls for cls in (qMRMLNodeComboBox, qMRMLSliderWidget, qMRMLWidget)}
