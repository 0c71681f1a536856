"""Denoise many series with one model: find them, skip what is done already, record what was done."""
