"""What the stand-in raises when a module asks for more than it imitates or does what a person would notice."""


class NotImitated(AttributeError):
    """The stand-in does not know this; extend it from documented behaviour of Slicer, or do without it."""


class UnansweredQuestion(RuntimeError):
    """The module asked the user something, and the test had given no answer (``application.messages.answer``)."""


class UiFileError(ValueError):
    """A .ui file with something that Slicer would not do what it says: a class, property or connection unknown."""


class ForgottenScene(AssertionError):
    """A MRML widget of a panel that never got the scene: its connection is missing in the .ui file."""
