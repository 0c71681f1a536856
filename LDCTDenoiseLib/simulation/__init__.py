"""Low-dose CT from normal-dose CT: parallel-beam geometry, noise insertion, analytic phantom."""

from .noise_insertion import simulate_low_dose

__all__ = ["simulate_low_dose"]
