"""From an input path to an output path, once or many times."""
