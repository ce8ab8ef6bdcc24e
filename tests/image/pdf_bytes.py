"""Write PDFs by hand: pages with given content, size and turn, pictures in any place, encrypted or not."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
"""Padding of passwords (PDF reference 1.7, algorithm 3.2)."""


@dataclass(frozen=True)
class Page:
    """One page: its content stream, pictures (name -> stream, see ``picture``), size, points, and turn, degrees."""

    content: bytes
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    size: tuple[float, float] = (792.0, 612.0)
    rotate: int = 0
    extra: bytes = b""


def picture(pixels: np.ndarray, extra: bytes = b"") -> bytes:
    """Stream of a picture uint8 (H, W, 3) RGB or (H, W) grey; ``extra``: more entries of its dictionary."""
    space = b"/DeviceRGB" if pixels.ndim == 3 else b"/DeviceGray"
    head = b"/BitsPerComponent 8 /ColorSpace " + space
    return coded_picture(pixels.shape[1], pixels.shape[0], head + b" " + extra, pixels.tobytes())


def coded_picture(width: int, height: int, entries: bytes, data: bytes) -> bytes:
    """Stream of a picture whose samples are ``data`` by the ``entries`` of its dictionary."""
    size = b"/Width %d /Height %d " % (width, height)
    return stream(b"/Type /XObject /Subtype /Image " + size + entries, data)


def stream(entries: bytes, data: bytes) -> bytes:
    """Compressed stream."""
    packed = zlib.compress(data)
    return b"<< %s /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (entries, len(packed), packed)


def place(matrix: Sequence[float], name: str = "P") -> bytes:
    """Content that draws a picture by a matrix."""
    return b"q " + b" ".join(b"%g" % m for m in matrix) + b" cm /%s Do Q\n" % name.encode()


def write_pdf(
    pages: Sequence[Page], *, password: str | None = None, more: Mapping[int, bytes] | None = None
) -> bytes:
    """A PDF; encrypted by RC4 with 40 bits when there is a password. ``more``: objects by numbers above 9000."""
    objects: dict[int, bytes] = dict(more or {})
    kids = []
    number = 4
    objects[3] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    for page in pages:
        content, number = number, number + 1
        objects[content] = stream(b"", page.content)
        names = b""
        for name, data in page.pictures.items():
            objects[number] = data
            names, number = names + b"/%s %d 0 R " % (name.encode(), number), number + 1
        objects[number] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %g %g] /Rotate %d /Contents %d 0 R %s "
            b"/Resources << /XObject << %s >> /Font << /F 3 0 R >> >> >>"
            % (*page.size, page.rotate, content, page.extra, names)
        )
        kids.append(b"%d 0 R" % number)
        number += 1
    objects[1] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[2] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(kids))
    trailer = b"/Root 1 0 R /ID [<00><00>]"
    if password is not None:
        key, owner, user = _lock(password.encode())
        objects = {n: _encrypt(body, key, n) for n, body in objects.items()}
        objects[number] = b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>" % (
            owner.hex().encode(),
            user.hex().encode(),
        )
        trailer += b" /Encrypt %d 0 R" % number
    return _assemble(objects, trailer)


def _assemble(objects: Mapping[int, bytes], trailer: bytes) -> bytes:
    out, places = b"%PDF-1.4\n", {}
    for number in sorted(objects):
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, objects[number])
    table = b"".join(b"%d 1\n%010d 00000 n \n" % item for item in places.items())
    size = max(objects) + 1
    end = b"xref\n0 1\n0000000000 65535 f \n%strailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n"
    return out + end % (table, size, trailer, len(out))


def _lock(password: bytes) -> tuple[bytes, bytes, bytes]:
    """Key, owner entry and user entry for one password for both (algorithms 3.2 to 3.4, revision 2)."""
    padded = (password + PAD)[:32]
    owner = _rc4(hashlib.md5(padded).digest()[:5], padded)
    key = hashlib.md5(padded + owner + (-4).to_bytes(4, "little", signed=True) + b"\0").digest()[:5]
    return key, owner, _rc4(key, PAD)


def _encrypt(body: bytes, key: bytes, number: int) -> bytes:
    """An object whose stream, if any, is encrypted (algorithm 3.1); strings do not occur."""
    if b"\nstream\n" not in body:
        return body
    head, rest = body.split(b"\nstream\n", 1)
    own = hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[:10]
    return head + b"\nstream\n" + _rc4(own, rest.removesuffix(b"\nendstream")) + b"\nendstream"


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
