"""Folders of any content: what is read is what was written, or refused."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.hostile.reading import SPLITS, read

FOLDERS = ["cat", "dog", "10", "9", "train", "test", "val", ".hidden", "__MACOSX", "a\nb", "é"]
FILES = ["a.png", "b.PNG", "c.bmp", "d", "e.gif", "f.tif", "g.txt", ".h.png", "i\n.png"]
FILES += ["Thumbs.db"]
CONTENTS = ["L", "L", "L", "L", "P", "RGB", "RGBA", "LA", "I;16", "text", "nothing", "cut"]
LINKS = ["link.png", "linked", "cat", "train"]


def draw_tree(data, root):
    """Writes files and links at random; returns the grey of each whole picture by its path."""
    greys = {}
    count = data.draw(st.integers(0, 9))
    plain = data.draw(st.booleans())
    for number in range(count):
        depth = data.draw(st.integers(0, 2))
        folder = root.joinpath(*(data.draw(st.sampled_from(FOLDERS)) for _ in range(depth)))
        path = folder / data.draw(st.sampled_from(FILES))
        content = "L" if plain else data.draw(st.sampled_from(CONTENTS))
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            continue
        grey = 100 + number
        picture = Image.fromarray(np.full((2, 3), grey, np.uint8))
        stream = io.BytesIO()
        mode = "I" if content == "I;16" else content if content[0] in "LPR" else "L"
        picture = picture.convert(mode)
        kind = "GIF" if path.suffix == ".gif" and mode in ("L", "P") else "PNG"
        (picture.convert("I;16") if mode == "I" else picture).save(stream, kind)
        whole = stream.getvalue()
        damaged = {"text": b"x" * 99, "nothing": b"", "cut": whole[:-30]}
        path.write_bytes(damaged.get(content, whole))
        greys[path] = grey
    for number in range(0 if plain else data.draw(st.integers(0, 3))):
        places = [root, *(path for path in sorted(root.rglob("*")) if path.is_dir())]
        link = data.draw(st.sampled_from(places)) / data.draw(st.sampled_from(LINKS))
        target = data.draw(st.sampled_from([*places, *greys, root / "absent", link]))
        if not os.path.lexists(link):
            if number == 2:
                os.mkfifo(link)
            else:
                link.symlink_to(target)
    return greys, plain


@settings(max_examples=60)
@given(data=st.data())
def test_a_folder_is_read_as_it_was_written_or_refused(data):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        greys, plain = draw_tree(data, root)
        found, said = read(f"images:{root}")
        event("refused" if found is None else "read")
        if plain and greys:
            check_plain(root, greys, found, said)
        if found is None:
            return
        image = found.arrays["image"]
        assert image.shape[1:3] == (2, 3)
        assert set(image.ravel().tolist()) <= set(greys.values())
        parts = [read(f"images:{root}", split)[0] for split in SPLITS]
        if None not in parts:
            seen = np.concatenate([part.arrays["image"].ravel() for part in parts])
            np.testing.assert_array_equal(np.sort(seen), np.sort(image.ravel()))


def check_plain(root, greys, found, said):
    """Without links and damage every picture that is not hidden is there, with its label."""
    inside = {path.relative_to(root): grey for path, grey in greys.items()}
    folders = {path.parts[0].lower() for path in inside if len(path.parts) > 1}
    if folders & {"train", "test", "val"}:
        return
    own = [
        (path.parts, grey)
        for path, grey in inside.items()
        if not any(part.startswith((".", "__")) for part in path.parts)
        and path.suffix.lower() not in (".txt", ".db")
    ]
    if not own:
        assert found is None
        return
    own.sort()
    np.testing.assert_array_equal(found.arrays["image"][:, 0, 0, 0], [grey for _, grey in own])
    if len(own) < len(greys):
        assert "skipped" in str(said[0].message)
    classes = {parts[0] for parts, _ in own if len(parts) > 1}
    if all(len(parts) > 1 for parts, _ in own):
        order = sorted(classes, key=int if all(map(str.isdigit, classes)) else None)
        label = [order.index(parts[0]) for parts, _ in own]
        np.testing.assert_array_equal(found.arrays["label"], label)
    else:
        assert "label" not in found.arrays
