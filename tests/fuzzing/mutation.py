"""Damage: a file of some kind with a few bytes, numbers or words changed, also within what is compressed in it."""

import gzip
import io
import re
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random

# What programs and people write where a number or a word is meant.
ODD = (b"NaN", b"inf", b"-1", b"0", b"1e308", b"1e-320", b"1A", b"99999999999999999999", b"2147483648", b"", b"null")
ODD += (b"[]", b"{}", b'"x"', b"true", b"../../etc/passwd", b"%n%n%s", b"\x00", b"\xff", b"\xed\xa0\x80", b"\x1b[2J")
ODD += (b"9" * 400, b"[" * 3000, b"&a *a", b"!!int x", b"\n", b"\\", b"1 1 1 1", b"2026-12-01")
EXTREMES = (0, 1, 127, 128, 255, 32767, 65535, 1 << 24, (1 << 31) - 1, (1 << 32) - 1, (1 << 63) - 1)
TEXTS = {".json", ".yaml", ".txt", ".csv", ".mhd", ".nhdr"}
HEADED = {".mha": b"LOCAL\n", ".nrrd": b"\n\n"}  # a text, then bytes
ARCHIVES = {".pth", ".ckpt", ".zip"}
START = 512  # where headers are


def damaged(content: bytes, name: str, random: Random) -> bytes:
    """A mutant of a file; the name tells of what kind it is."""
    suffix = Path(name).suffix
    if random.random() < 0.1:
        return content[: random.randrange(len(content) + 1)]
    if random.random() < 0.2:
        return _bytes(content, random)
    if suffix == ".gz":
        return gzip.compress(damaged(gzip.decompress(content), Path(name).stem, random), 1, mtime=0)
    if suffix in ARCHIVES:
        return _archive(content, random)
    if suffix == ".safetensors":
        (length,) = struct.unpack("<Q", content[:8])
        header = _text(content[8 : 8 + length], random)
        return struct.pack("<Q", len(header)) + header + content[8 + length :]
    if suffix in HEADED:
        end = content.find(HEADED[suffix])
        return _text(content[:end], random) + content[end:]
    return _text(content, random) if suffix in TEXTS else _bytes(content, random)


def _bytes(content: bytes, random: Random) -> bytes:
    """With bytes replaced, inserted, left out or repeated, or numbers of 2, 4 or 8 bytes at their extremes."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(min(len(changed), START) if random.random() < 0.6 else len(changed))
        kind = random.randrange(5)
        if kind == 0:
            changed[place : place + random.randint(0, 3)] = random.randbytes(random.randint(0, 6))
        elif kind == 1:
            size, layout = random.choice([(1, "B"), (2, "H"), (4, "I"), (8, "Q")])
            number = random.choice(EXTREMES) % (1 << 8 * size)
            changed[place : place + size] = struct.pack(random.choice("<>") + layout, number)
        elif kind == 2:
            changed[place:place] = changed[place : place + random.randint(1, 64)]
        elif kind == 3:
            del changed[place : place + random.randint(1, 64)]
        elif numbers := list(re.finditer(rb"[0-9.]{1,16}", changed[place:])):
            found = random.choice(numbers[:20])
            odd = random.choice(ODD)[: len(found[0])].ljust(len(found[0]))  # lengths that the file states stay right
            changed[place + found.start() : place + found.end()] = odd
        changed = changed or bytearray(content)
    return bytes(changed)


def _text(content: bytes, random: Random) -> bytes:
    """With words, numbers or signs replaced, left out, repeated or exchanged."""
    words = re.findall(rb"[A-Za-z_]+|[-+.0-9eE]+|\s+|.", content, re.DOTALL)
    solid = [place for place, word in enumerate(words) if not word.isspace()] or [0]
    for _ in range(random.randint(1, 3)):
        place, other, kind = random.choice(solid), random.choice(solid), random.randrange(5)
        if kind < 2:
            words[place] = random.choice(ODD)
        elif kind == 2:
            words[place] = b""
        elif kind == 3:
            words[place] += words[place]
        else:
            words[place], words[other] = words[other], words[place]
    return b"".join(words)


def _archive(content: bytes, random: Random) -> bytes:
    """A zip archive with one of its members damaged, under the checksum that fits it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(entry, archive.read(entry)) for entry in archive.infolist()]
    pickles = [place for place, (entry, _) in enumerate(members) if entry.filename.endswith(".pkl")]
    chosen = random.choice(pickles if pickles and random.random() < 0.8 else range(len(members)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for place, (entry, data) in enumerate(members):
            written = _bytes(data, random) if place == chosen and data else data
            archive.writestr(zipfile.ZipInfo(entry.filename), written)
    return out.getvalue()


def digest(content: bytes) -> str:
    """A short name of a mutant."""
    return f"{zlib.crc32(content):08x}"
