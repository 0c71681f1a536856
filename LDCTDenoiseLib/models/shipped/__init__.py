"""The shipped models: ``<name>.safetensors`` and its card ``<name>.md``."""
