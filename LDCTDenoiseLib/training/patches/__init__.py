"""What the training sees: prepared volumes and pairs, and the patches taken from them."""
