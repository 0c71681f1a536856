"""A model fine-tuned on a user's own normal-dose scans."""
