"""The systems to run, what is published of each, and the claims to hold against what is found. All typed text is here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .judge import COST, GAIN, GAIN_BLENDED, NPS_EQUAL, SSIM_BLENDED
from .parts import PARTS

NO_FIGURE = "no figure printed"
NOT_PUBLISHED = "not in the paper"
_OTHER_DATA = "ldct-benchmark's own training and abdomen test set, other data"


@dataclass(frozen=True)
class System:
    """One system.

    Attributes:
        name: the paper's.
        key: of its file of figures.
        config: its configuration.
        what: it is.
        parts: of training that are its levels, first to last.
        published: of its quality, in the paper's abstract and text or in ldct-benchmark's tables.
    """

    name: str
    key: str
    config: str
    what: str
    parts: tuple[str, ...]
    published: str = NO_FIGURE

    @property
    def all_parts(self) -> list[str]:
        """Parts that it cost, those that others go on with included."""
        return list(dict.fromkeys(name for part in self.parts for name in (*PARTS[part].needs, part)))


SYSTEMS = (
    System("A", "a", "paper-a", "one DRL that predicts the difference, MSE", ("a-2",)),
    System("B", "b", "paper-b", "one DRL, MSE + 0.1 L_P", ("b-2",)),
    System(
        "C",
        "c",
        "paper-c",
        "the published cascade: B, then a difference DRL on its results",
        ("b-1", "c-2"),
        "outperforms related works, more fine structure in regions of low contrast; " + NO_FIGURE,
    ),
    System("D", "d", "paper-d", "two difference DRL, MSE", ("a-1", "d-2")),
    System("CNN10", "cnn10", "paper-cnn10", "one CNN10 that predicts the difference, MSE, in place of A's DRL", ("cnn10-2",)),
    System(
        "RED-CNN",
        "redcnn",
        "redcnn",
        "the reference that everyone knows (arXiv 1702.00288)",
        ("redcnn-2",),
        f"33.685 dB, SSIM 0.913 at C50/W400 ({_OTHER_DATA}, low dose there 29.117 dB, 0.856)",
    ),
    System(
        "WGAN-VGG",
        "wgan-vgg",
        "wgan-vgg",
        "with VGG-16 features in place of VGG-19 (doi 10.1109/TMI.2018.2827462)",
        ("wgan-vgg",),
        f"30.906 dB, SSIM 0.893 at C50/W400 ({_OTHER_DATA})",
    ),
    System("DRL+E", "drl-edge", "drl-edge", "DRL behind an edge detection (arXiv 1902.10127)", ("drl-edge-2",)),
    System("B by L_P alone", "b-lp", "paper-b-lp", "the other reading of the paper", ("b-lp-2",), NOT_PUBLISHED),
    System("C by L_P alone", "c-lp", "paper-c-lp", "C on B by L_P alone", ("b-lp-1", "c-lp-2"), NOT_PUBLISHED),
    System("B (scaled L_P)", "b-scaled", "paper-b", "B with L_P on the MSE's scale", ("b-scaled-2",), NOT_PUBLISHED),
    System(
        "C (scaled L_P)", "c-scaled", "paper-c", "C on B with L_P on the MSE's scale", ("b-scaled-1", "c-scaled-2"), NOT_PUBLISHED
    ),
    System(
        "3-level",
        "3level",
        "paper-3level",
        "C and one more difference DRL",
        ("b-1", "3level-2", "3level-3"),
        "negligible improvement over C; " + NO_FIGURE,
    ),
    System("Wu", "wu", "wu-cascade", "cascade of five CNN10 (arXiv 1705.04267)", ("cnn10-1", "wu-2", "wu-3", "wu-4", "wu-5")),
)
BY_NAME = {system.name: system for system in SYSTEMS}
SHIPPED, INPUT_ROW, FILTER = "default", "input", "non-local means"
OTHERS = {
    SHIPPED: "the shipped model, for many doses and kernels; another training, with another budget",
    FILTER: "the best known filter, told the noise level, tuned on the validation patients",
    INPUT_ROW: "the low dose as it is",
}
"""Rows beside the systems, and what they are."""
SHIPPED_LOSSES = (
    "L_P only at 1e-6 to 5e-6 in a part of its first run, of commit 44ec084; later a loss for small lesions and squared error"
)


class Expected(Enum):
    """How a claim's words are read; the paper prints no figures."""

    HIGHER = "higher"
    LOWER = "lower"
    WITHIN = "within"
    NOTHING = "nothing is claimed"


NEGLIGIBLE_DB = 0.1


@dataclass(frozen=True)
class Claim:
    """One system against another.

    Attributes:
        system, other: by name.
        published: what is said of the two; claims of the same words are told together.
        measure: that it is held against.
        expected: of the first minus the second.
        in_short: told in the ten lines too.
    """

    system: str
    other: str
    published: str
    measure: str
    expected: Expected = Expected.NOTHING
    in_short: bool = True


STRUCTURE = "The perceptual loss keeps structure"
OVER_SMOOTHS = "MSE alone over-smooths"
SECOND = "The second network predicts what the first one missed"
CASCADE = "The cascade beats one network"
RELATED = "The cascade outperforms related works"
THIRD = "A third level adds little"
DRL = "A DRL beats CNN10 with fewer parameters"
PUBLISHED = (STRUCTURE, OVER_SMOOTHS, SECOND, CASCADE, RELATED, THIRD, DRL)


def _in_gain(system: str, other: str, published: str, expected: Expected) -> tuple[Claim, Claim]:
    """As the paper shows its results, blended with the low dose, and as the networks give them."""
    return Claim(system, other, published, GAIN_BLENDED, expected), Claim(system, other, published, GAIN, expected)


CLAIMS = (
    Claim("B", "A", STRUCTURE, COST, Expected.LOWER),
    Claim("C", "D", STRUCTURE, COST, Expected.LOWER),
    Claim("B (scaled L_P)", "A", STRUCTURE, COST, Expected.LOWER),
    Claim("C (scaled L_P)", "D", STRUCTURE, COST, Expected.LOWER),
    Claim("B", "A", OVER_SMOOTHS, NPS_EQUAL, Expected.HIGHER),
    Claim("C", "D", OVER_SMOOTHS, NPS_EQUAL, Expected.HIGHER),
    *_in_gain("C", "B", SECOND, Expected.HIGHER),
    *_in_gain("C", "A", CASCADE, Expected.HIGHER),
    Claim("C", "A", CASCADE, SSIM_BLENDED, Expected.HIGHER, in_short=False),
    *(
        Claim("C", other, RELATED, measure, Expected.HIGHER, in_short=measure == GAIN_BLENDED)
        for other in ("Wu", "DRL+E", "WGAN-VGG")
        for measure in (GAIN_BLENDED, GAIN, SSIM_BLENDED)
    ),
    *_in_gain("3-level", "C", THIRD, Expected.WITHIN),
    *_in_gain("A", "CNN10", DRL, Expected.HIGHER),
    Claim("D", "A", NOT_PUBLISHED, GAIN),
    Claim("C", "D", NOT_PUBLISHED, GAIN),
    Claim("C", "RED-CNN", NOT_PUBLISHED, GAIN),
    Claim("C", "RED-CNN", NOT_PUBLISHED, COST),
    Claim("B by L_P alone", "B", NOT_PUBLISHED, GAIN),
    Claim("C by L_P alone", "C", NOT_PUBLISHED, GAIN),
    Claim("B (scaled L_P)", "B", NOT_PUBLISHED, GAIN),
    Claim("C (scaled L_P)", "D", NOT_PUBLISHED, GAIN),
)
