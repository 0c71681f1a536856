"""The worker: a child process that computes for a program that must stay responsive, such as Slicer's window.

``python -m LDCTDenoiseLib.worker`` serves the protocol of ``protocol.py``. ``client.py`` is the other end.
"""
