"""Figures of images: quality against a reference, noise and its texture, bias by tissue."""
