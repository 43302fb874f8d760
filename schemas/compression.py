"""How the files of old dates are written, which are read rarely and kept for years."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compression:
    """Level of zstd, and storage class on S3; an empty one is that of the bucket."""

    level: int
    storage_class: str = ""
