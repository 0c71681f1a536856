"""The systems to run, what is published of each, and the claims to hold against what is found. All typed text is here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from LDCTDenoiseLib.evaluation.paper_figures import RUNS

NO_FIGURE = "no figure printed"
_OTHER_DATA = "ldct-benchmark's own training and abdomen test set, other data"


@dataclass(frozen=True)
class System:
    """One system.

    Attributes:
        name: the paper's.
        config: name of its configuration, run folder and model.
        what: it is.
        parts: of training that are its levels, first to last.
        published: of its quality, in the paper's abstract and text or in ldct-benchmark's tables.
        preliminary: also run without a GPU, on the small budget.
    """

    name: str
    config: str
    what: str
    parts: tuple[str, ...] = ()
    published: str = NO_FIGURE
    preliminary: bool = False


SYSTEMS = (
    System("A", RUNS["A"], "one DRL that predicts the difference, MSE", ("a-2",), preliminary=True),
    System("B", RUNS["B"], "one DRL, MSE + 0.1 L_P", ("b-2",), preliminary=True),
    System(
        "B by L_P alone",
        "paper-b-lp",
        "B with the perceptual loss only, the other reading of the paper",
        ("b-lp-2",),
        "not in the paper",
    ),
    System(
        "C",
        RUNS["C"],
        "the published cascade: B, then A on its results",
        ("b-1", "c-2"),
        "outperforms related works, more fine structure in regions of low contrast; " + NO_FIGURE,
        preliminary=True,
    ),
    System("C by L_P alone", "paper-c-lp", "C on B by L_P alone", ("b-lp-1", "c-lp-2"), "not in the paper"),
    System("D", RUNS["D"], "two difference DRL, MSE", ("a-1", "d-2"), preliminary=True),
    System(
        "3-level",
        RUNS["3-level"],
        "C and one more difference DRL",
        ("b-1", "3level-2", "3level-3"),
        "negligible improvement over C; " + NO_FIGURE,
    ),
    System("CNN10", RUNS["CNN10"], "one CNN10 that predicts the difference, MSE, in place of A's DRL", ("cnn10-2",)),
    System("Wu", "wu-cascade", "cascade of five CNN10 (arXiv 1705.04267)", ("cnn10-1", "wu-2", "wu-3", "wu-4", "wu-5")),
    System("DRL+E", "drl-edge", "DRL behind an edge detection (arXiv 1902.10127)", ("drl-edge-2",)),
    System(
        "WGAN-VGG",
        "wgan-vgg",
        "with VGG-16 features in place of VGG-19 (doi 10.1109/TMI.2018.2827462)",
        ("wgan-vgg",),
        f"30.906 dB, SSIM 0.893 at C50/W400 ({_OTHER_DATA})",
    ),
    System(
        "RED-CNN",
        "redcnn",
        "the reference that everyone knows (arXiv 1702.00288)",
        ("redcnn-2",),
        f"33.685 dB, SSIM 0.913 at C50/W400 ({_OTHER_DATA}, low dose there 29.117 dB, 0.856)",
    ),
)
SHIPPED = System("default", "default", "the shipped model: C trained on a mixture of doses and kernels", (), "not in the paper")


class Expected(Enum):
    """How a claim's words are read; the paper prints no figures."""

    NOTHING = "nothing is claimed"
    BETTER = "higher PSNR and higher SSIM"
    LESS_SMOOTH = "higher mean frequency of the noise power spectrum"
    EQUAL = "PSNR and SSIM within the tolerances below"


NEGLIGIBLE_DB, NEGLIGIBLE_SSIM = 0.1, 0.002


@dataclass(frozen=True)
class Claim:
    """One system against another.

    Attributes:
        system, other: by name.
        published: what is said of the two.
        expected: how that is read.
    """

    system: str
    other: str
    published: str
    expected: Expected = Expected.NOTHING


_OUTPERFORMS = "the cascade outperforms related works"
_OVER_SMOOTHS = "MSE alone over-smooths"
CLAIMS = (
    Claim("C", "A", _OVER_SMOOTHS, Expected.LESS_SMOOTH),
    Claim("C", "D", _OVER_SMOOTHS, Expected.LESS_SMOOTH),
    Claim("C", "B", "the second network predicts what the first one missed", Expected.BETTER),
    Claim("D", "A", "nothing that could be held against figures"),
    Claim("3-level", "C", "negligible improvement", Expected.EQUAL),
    Claim("A", "CNN10", "nothing that could be held against figures"),
    Claim("C", "Wu", _OUTPERFORMS, Expected.BETTER),
    Claim("C", "DRL+E", _OUTPERFORMS, Expected.BETTER),
    Claim("C", "WGAN-VGG", _OUTPERFORMS, Expected.BETTER),
    Claim("C", "RED-CNN", "not in the paper"),
    Claim("B by L_P alone", "B", "not in the paper"),
    Claim("C by L_P alone", "C", "not in the paper"),
)
