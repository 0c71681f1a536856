"""The losses of the training."""
