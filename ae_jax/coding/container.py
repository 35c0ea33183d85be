"""The file of a compressed picture: what it is of, and whether it is whole."""

import struct
import zlib
from typing import NamedTuple

from ae_jax.core import InputError

_MAGIC, _VERSION = b"\x89AEJ", 1
#: Magic, version, model, height, width, channels and the payload's length; a checksum follows.
_FIELDS = struct.Struct("<4sB8sIIBI")
#: Bytes that name a model.
DIGEST_BYTES = 8
_CHECKSUM = struct.Struct("<I")
#: What a file has besides its payload.
HEADER_BYTES = _FIELDS.size + _CHECKSUM.size


class Container(NamedTuple):
    """What a file holds.

    Attributes:
      model: the digest of what encoded it, 8 bytes.
      shape: of the picture, height, width and channels.
      payload: the range coder's bytes.
    """

    model: bytes
    shape: tuple[int, int, int]
    payload: bytes


def pack(container: Container) -> bytes:
    """Returns a file's bytes.

    Raises:
      InputError: if the model's digest is not 8 bytes, or no file holds such a picture.
    """
    if len(container.model) != DIGEST_BYTES:
        raise InputError(f"a digest of {len(container.model)} bytes: use {DIGEST_BYTES}")
    if container.shape[2] not in (1, 3) or not all(0 < n < 2**32 for n in container.shape):
        raise InputError(f"a file holds a picture [H, W, 1 or 3], and not {[*container.shape]}")
    fields = _FIELDS.pack(
        _MAGIC, _VERSION, container.model, *container.shape, len(container.payload)
    )
    checksum = _CHECKSUM.pack(zlib.crc32(fields + container.payload))
    return fields + checksum + container.payload


def unpack(content: bytes) -> Container:
    """Returns what a file holds.

    Raises:
      InputError: if it is no such file, of another version, cut short or damaged.
    """
    if content[: len(_MAGIC)] != _MAGIC:
        raise InputError("it is no compressed picture: give what `encode` wrote")
    if len(content) < HEADER_BYTES:
        raise InputError("it is cut short: copy it again")
    _, version, model, *shape, length = _FIELDS.unpack_from(content)
    if version != _VERSION:
        raise InputError(f"it is of version {version}, and {_VERSION} can be read: encode it again")
    payload = content[HEADER_BYTES:]
    if len(payload) < length:
        raise InputError("it is cut short: copy it again")
    (checksum,) = _CHECKSUM.unpack_from(content, _FIELDS.size)
    whole = len(payload) == length and shape[2] in (1, 3) and min(shape) > 0
    if not whole or zlib.crc32(content[: _FIELDS.size] + payload) != checksum:
        raise InputError("it is damaged: copy it again")
    return Container(model, tuple(shape), payload)
