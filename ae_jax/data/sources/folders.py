"""Which files of a folder are pictures, and in which part and class of the data they are."""

import errno
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ae_jax.core import InputError
from ae_jax.data.parts import PARTS, reason, shown

SUFFIXES = {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"}
SUFFIXES |= {".pnm", ".ppm", ".tif", ".tiff", ".webp"}
#: What folders may be called that hold a part of the data.
_PART = {"train": "train", "training": "train", "test": "test", "testing": "test"}
_PART |= dict.fromkeys(("val", "valid", "validation"), "validation")
#: What systems leave behind; so are names that start with a dot.
_LEFT_BEHIND = {"__macosx", "desktop.ini", "thumbs.db"}
#: What `scripts/restore.py` and `scripts/compress.py` write beside pictures.
_MADE = re.compile(r"\.(restored(-\d+)?|decoded)\.png")
_BROKEN = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}

#: What was noticed, and of what.
Notes = list[tuple[str, Path]]


class Picture(NamedTuple):
    """A picture, and the folder directly below the part's that it lies in, if any."""

    path: Path
    label: str | None


def parts_of(
    root: Path, is_picture: Callable[[Path], bool], notes: Notes
) -> Mapping[str, list[Picture]]:
    """Finds the pictures of each part, in the order of their paths.

    Links are followed. The folders train and test or validation are the parts; anything else is
    one part, train.

    Args:
      root: the folder.
      is_picture: looks into a file whose name has no suffix.
      notes: what is passed over is added.

    Raises:
      InputError: a folder cannot be read, or parts have no train.
    """
    entries = _entries(root, notes)
    named: dict[str, list[Path]] = {}
    for path, is_folder in entries:
        if is_folder and _part(path) is not None:
            named.setdefault(_part(path), []).append(path)
    others = [path for path, is_folder in entries if not is_folder or _part(path) is None]
    alone = not any(path.is_dir() or _wanted(path, is_picture, []) for path in others)
    if len(named) > 1 and "train" not in named and alone:
        raise InputError(f"{shown(root)} has {' and '.join(sorted(named))}, but no train")
    if "train" not in named or (len(named) == 1 and not alone):
        return {"train": _pictures(entries, root, is_picture, notes)}
    notes.extend(("beside train and test skipped", path) for path in others)
    for part, folders in named.items():
        if len(folders) > 1:
            names = " and ".join(folder.name for folder in folders)
            raise InputError(f"{shown(root)} has two folders for {part}: {names}")
    found = {}
    for part in PARTS:
        for folder in named.get(part, []):
            found[part] = _pictures(_entries(folder, notes), folder, is_picture, notes)
            if not found[part]:
                notes.append(("without pictures", folder))
    return {part: pictures for part, pictures in found.items() if pictures}


def _part(folder: Path) -> str | None:
    return _PART.get(folder.name.lower())


def said(notes: Notes) -> str:
    """Returns a line that counts what was noticed, with examples."""
    of: dict[str, list[str]] = {}
    for what, path in notes:
        of.setdefault(what, []).append(shown(path.name))
    return "; ".join(
        f"{len(names)} {what} ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"
        for what, names in of.items()
    )


def _pictures(
    entries: list[tuple[Path, bool]], root: Path, is_picture: Callable[[Path], bool], notes: Notes
) -> list[Picture]:
    found = []
    for path, is_folder in entries:
        if is_folder:
            below = _below(path, root, is_picture, notes)
            if not below:
                notes.append(("without pictures", path))
            found += [Picture(picture, path.name) for picture in below]
        elif _wanted(path, is_picture, notes):
            found.append(Picture(path, None))
    return sorted(found, key=lambda picture: picture.path.parts)


def _below(top: Path, root: Path, is_picture: Callable[[Path], bool], notes: Notes) -> list[Path]:
    """All pictures below a folder, of which links may lead round in circles."""
    found, waiting, seen = [], [top], {_identity(root)}
    while waiting:
        folder = waiting.pop()
        identity = _identity(folder)
        if identity in seen:
            notes.append(("linked to a folder that is read already", folder))
            continue
        seen.add(identity)
        entries = _entries(folder, notes)
        waiting += [path for path, is_folder in reversed(entries) if is_folder]
        found += [
            path
            for path, is_folder in entries
            if not is_folder and _wanted(path, is_picture, notes)
        ]
    return found


def _entries(folder: Path, notes: Notes) -> list[tuple[Path, bool]]:
    """The files and folders in a folder, by name, and whether each is a folder."""
    found = []
    try:
        for name in sorted(os.listdir(folder)):
            path = folder / name
            if name.startswith(".") or name.lower() in _LEFT_BEHIND:
                notes.append(("hidden or left behind by a system skipped", path))
                continue
            try:
                mode = path.stat().st_mode
            except OSError as error:
                if error.errno not in _BROKEN:
                    raise
                notes.append(("broken links skipped", path))
                continue
            if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                found.append((path, stat.S_ISDIR(mode)))
            else:
                notes.append(("neither files nor folders skipped", path))
    except OSError as error:
        raise InputError(f"cannot read the folder {shown(folder)}: {reason(error)}") from error
    return found


def _wanted(path: Path, is_picture: Callable[[Path], bool], notes: Notes) -> bool:
    suffix = path.suffix.lower()
    if _MADE.search(path.name):
        notes.append(("made of others, as NAME.restored.png, skipped", path))
        return False
    if suffix in SUFFIXES or (not suffix and is_picture(path)):
        return True
    notes.append(("of other kinds skipped", path))
    return False


def _identity(folder: Path) -> tuple[int, int]:
    try:
        found = folder.stat()
    except OSError as error:
        raise InputError(f"cannot read the folder {shown(folder)}: {reason(error)}") from error
    return found.st_dev, found.st_ino
