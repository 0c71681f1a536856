"""The machine: files, memory, devices, processes, and optional parts of the installation."""
