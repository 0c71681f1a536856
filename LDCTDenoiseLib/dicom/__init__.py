"""DICOM in and DICOM out: finding, sorting and decoding CT series, and writing derived ones. See docs/dicom.md."""
