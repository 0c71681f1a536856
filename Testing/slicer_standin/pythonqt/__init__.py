"""PySide6 with the manners of PythonQt, the binding that Slicer's modules meet as ``qt`` and ``ctk``."""
