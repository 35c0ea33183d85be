"""Compression: whole numbers as bytes, and pictures as files, by models that were trained."""

from ae_jax.coding.container import HEADER_BYTES, Container, pack, unpack
from ae_jax.coding.pictures import (
    Codec,
    compress,
    cut,
    decompress,
    in_batches,
    joined,
    to_bytes,
    unit,
)
from ae_jax.coding.tables import Table, counted, decode, encode, ideal_bits

__all__ = [
    "HEADER_BYTES",
    "Codec",
    "Container",
    "Table",
    "compress",
    "counted",
    "cut",
    "decode",
    "decompress",
    "encode",
    "ideal_bits",
    "in_batches",
    "joined",
    "pack",
    "to_bytes",
    "unit",
    "unpack",
]
