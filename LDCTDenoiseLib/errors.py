"""Errors that a person can act on: one sentence, what is wrong and what to do."""


class LDCTDenoiseError(Exception):
    """Base of every error that this library raises on purpose."""


class InputError(LDCTDenoiseError, ValueError):
    """The volume or an argument cannot be used as it is."""


class ModelError(LDCTDenoiseError):
    """A model file is missing, damaged, changed or not one of ours."""


class DeviceError(LDCTDenoiseError):
    """The device asked for is not there, or has too little memory."""


class MissingExtraError(LDCTDenoiseError):
    """A command needs packages that the base installation leaves out."""


class DenoisingCancelled(LDCTDenoiseError):  # noqa: N818 (its name in the API)
    """The caller's ``cancel`` answered true."""
