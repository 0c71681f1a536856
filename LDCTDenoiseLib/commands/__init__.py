"""The commands of ``ldctdenoise``, one module each: ``add_parser`` declares the options, ``run`` does the work.

Modules import torch only in ``run``: ``--help`` must not wait for it.
"""
