"""Errors that a person can act on: one sentence of facts, and a code for what went wrong.

Who knows a remedy of its own, a flag of the command line or a button of the panel, adds it by the code.
"""

from enum import StrEnum


class Code(StrEnum):
    """What went wrong."""

    INPUT = "input"
    ARGUMENT = "argument"  # as INPUT, and wrong whatever the files hold
    OUTPUT = "output"
    EXISTS = "exists"  # the output is there already
    NOT_OURS = "not-ours"  # as EXISTS, and no batch made it as it is
    NOT_HU = "not-hu"  # the voxels do not look like HU
    NOT_CT = "not-ct"  # another modality, or values whose header says that they are not HU
    UNREADABLE = "unreadable"  # what may be a slice cannot be read
    DERIVED = "derived"  # made by this program
    SEVERAL_SERIES = "several-series"
    CRASHES = "crashes"  # reading this input ends the process that reads it
    RUN_EXISTS = "run-exists"  # a training run
    STOPPED = "stopped"  # a training that can be resumed
    MODEL = "model"
    DEVICE = "device"
    EXTRA = "extra"
    TORCH = "torch"
    WORKER = "worker"
    WORKER_ENDED = "worker-ended"  # the next request starts a fresh one
    CANCELLED = "cancelled"
    MEMORY = "memory"
    FAILURE = "failure"  # none of these
    UNEXPECTED = "unexpected"  # no error of this library


class LDCTDenoiseError(Exception):
    """Base of every error that this library raises on purpose.

    Args:
        message: a sentence: what is wrong, and what to do about it where that is the same for all.
        code: what went wrong, where it is more special than the class tells.
    """

    code = Code.FAILURE

    def __init__(self, message: str = "", code: Code | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class InputError(LDCTDenoiseError, ValueError):
    """The volume or an argument cannot be used as it is."""

    code = Code.INPUT


class DamagedError(InputError):
    """A file is cut off or lost content, so that nobody can read it; not: nothing here can."""


class OutputError(LDCTDenoiseError):
    """The output cannot be written."""

    code = Code.OUTPUT


class NotHUError(InputError):
    """The voxels cannot be CT in HU."""

    code = Code.NOT_HU


class ModelError(LDCTDenoiseError):
    """A model file is missing, damaged, changed or not one of ours."""

    code = Code.MODEL


class DeviceError(LDCTDenoiseError):
    """The device asked for is not there, or has too little memory."""

    code = Code.DEVICE


class TrainingError(LDCTDenoiseError):
    """A training cannot go on; what it had saved is left."""

    code = Code.STOPPED


class MissingExtraError(LDCTDenoiseError):
    """A command needs packages that the base installation leaves out."""

    code = Code.EXTRA


class MissingTorchError(LDCTDenoiseError):
    """PyTorch is missing, broken or too old."""

    code = Code.TORCH


class WorkerError(LDCTDenoiseError):
    """The worker process died, fell silent or did not speak the protocol."""

    code = Code.WORKER


class DenoisingCancelled(LDCTDenoiseError):  # noqa: N818 (its name in the API)
    """The caller's ``cancel`` answered true."""

    code = Code.CANCELLED


def code_of(error: BaseException) -> Code:
    """The code of any error."""
    if isinstance(error, LDCTDenoiseError):
        return error.code
    return Code.MEMORY if isinstance(error, MemoryError) else Code.UNEXPECTED


def printable(text: str) -> str:
    """Text in which escape sequences and characters that turn the direction of writing are seen and not obeyed."""
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape", "surrogatepass").decode() for one in text
    )


def counted(number: int, one: str, many: str = "") -> str:
    """``1 slice`` or ``3 slices``; ``many`` where it is not ``one`` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def as_sentence(error: BaseException) -> str:
    """Any error as one line that is safe to print."""
    if isinstance(error, LDCTDenoiseError):
        sentence = str(error)
    elif isinstance(error, MemoryError):
        sentence = "Not enough memory for this volume."
    else:  # the last resort
        sentence = f"Unexpected failure ({type(error).__name__}: {error})."
    return printable(" ".join(sentence.split()))
