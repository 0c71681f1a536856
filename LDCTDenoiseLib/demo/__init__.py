"""Demonstrations on phantoms: denoising, and training."""
