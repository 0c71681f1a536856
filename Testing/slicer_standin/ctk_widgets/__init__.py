"""The widgets of CTK that a panel of this project may use, with CTK's properties and signals."""

from .collapsible_button import ctkCollapsibleButton
from .directory_button import ctkDirectoryButton
from .message_box import ctkMessageBox
from .path_line_edit import ctkPathLineEdit
from .range_widget import ctkRangeWidget
from .slider_widget import ctkSliderWidget

CTK_WIDGETS = {
    cls.__name__: cls
    for cls in (ctkCollapsibleButton, ctkDirectoryButton, ctkMessageBox, ctkPathLineEdit, ctkRangeWidget, ctkSliderWidget)
}
