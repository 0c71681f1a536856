"""``slicer.parameterNodeWrapper``: typed parameters in a vtkMRMLScriptedModuleNode, bound to widgets.

Written from the documented behaviour; parameters are stored under the names that Slicer uses.
"""

from .connectors import Decimals, SingleStep
from .packs import parameterPack
from .validators import Choice, Default, Exclude, IsInstance, Maximum, Minimum, NotNone, Validator, WithinRange
from .wrapper import SlicerParameterNamePropertyName, findChildWidgetForParameter, isParameterNodeWrapper, parameterNodeWrapper

__all__ = [
    "Choice", "Decimals", "Default", "Exclude", "IsInstance", "Maximum", "Minimum", "NotNone", "SingleStep",
    "SlicerParameterNamePropertyName", "Validator", "WithinRange", "findChildWidgetForParameter", "isParameterNodeWrapper",
    "parameterNodeWrapper", "parameterPack",
]  # fmt: skip
