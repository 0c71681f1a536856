"""The trainer: configuration, data, losses, and the training of a cascade level by level."""
