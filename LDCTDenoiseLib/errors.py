"""Errors that a person can act on: one sentence, what is wrong and what to do."""


class LDCTDenoiseError(Exception):
    """Base of every error that this library raises on purpose."""


class InputError(LDCTDenoiseError, ValueError):
    """The volume or an argument cannot be used as it is."""


class NotHUError(InputError):
    """The voxels cannot be CT in HU.

    Attributes:
        finding: what was found, without what to do: that differs between command line and panel.
    """

    def __init__(self, finding: str) -> None:
        self.finding = finding
        super().__init__(f"{finding} Convert them to HU, or pass --force if they are.")


class ModelError(LDCTDenoiseError):
    """A model file is missing, damaged, changed or not one of ours."""


class DeviceError(LDCTDenoiseError):
    """The device asked for is not there, or has too little memory."""


class TrainingError(LDCTDenoiseError):
    """A training cannot go on; what it had saved is left."""


class MissingExtraError(LDCTDenoiseError):
    """A command needs packages that the base installation leaves out."""


class MissingTorchError(LDCTDenoiseError):
    """PyTorch is missing, broken or too old."""


class WorkerError(LDCTDenoiseError):
    """The worker process died, fell silent or did not speak the protocol."""


class DenoisingCancelled(LDCTDenoiseError):  # noqa: N818 (its name in the API)
    """The caller's ``cancel`` answered true."""


def printable(text: str) -> str:
    """Text in which escape sequences and characters that turn the direction of writing are seen and not obeyed."""
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape", "surrogatepass").decode() for one in text
    )


def as_sentence(error: Exception) -> str:
    """Any error as one line that a person can act on, and that is safe to print."""
    if isinstance(error, LDCTDenoiseError):
        sentence = str(error)
    elif isinstance(error, MemoryError):
        sentence = "Not enough memory for this volume; denoise fewer slices at a time (--slices A:B)."
    else:  # the last resort
        sentence = f"Unexpected failure ({type(error).__name__}: {error}); run again with --debug."
    return printable(" ".join(sentence.split()))
