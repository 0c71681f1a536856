"""Where CTs lie outside the file system: object stores (S3 and what else fsspec knows) and DICOMweb servers."""
