"""CT volumes in files: NRRD, NIfTI and MetaImage."""
