"""The split of the LDCT-and-Projection-data's chest and abdomen patients on which methods are compared.

70 patients to train on, 20 to validate and 10 to test, as the benchmark ldct-bench (Eulig et al., Med Phys 2024, version
0.0.15) divides them. Its head patients have no low-dose images in the Imaging Data Commons.
"""

_PATIENTS = {
    "train": """
        C002 C004 C012 C016 C021 C027 C030 C050 C077 C081 C095 C099 C111 C120 C124 C128 C130 C158 C160 C162 C166 C179
        C193 C203 C218 C224 C234 C241 C246 C252 C257 C261 C267 C268 C296 L004 L019 L049 L056 L057 L064 L071 L072 L075
        L081 L110 L114 L116 L125 L131 L134 L145 L148 L150 L160 L170 L175 L178 L203 L209 L210 L219 L229 L232 L237 L248
        L266 L273 L277 L299
    """,
    "validate": """
        C052 C067 C107 C190 C202 C219 C227 C232 C258 C295 L014 L033 L058 L077 L123 L179 L186 L187 L193 L212
    """,
    "test": """
        C121 C135 C170 C249 C280 L006 L107 L220 L221 L241
    """,
}
LDCTBENCH_SPLIT = {split: tuple(names.split()) for split, names in _PATIENTS.items()}
"""Patients of each split."""
