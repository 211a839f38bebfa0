#!/usr/bin/python3
"""A worker that makes no pictures: of each frame it gives every output a text that says what it was told. What it is to do
besides is the beginning of the frame: crash, hang, late, held (back), damaged, refused (it cannot be decoded: why), lie (about a
frame that it was not given) or nonsense (no message)."""
import struct
import sys
import time

out = sys.stdout.buffer


def send(kind, body):
    out.write(struct.pack(">IB", len(body) + 1, kind) + body)
    out.flush()


def read():
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        sys.exit(0)
    body = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
    return body[0], body[1:]


def wrapped(coding, text):
    if coding == 0:
        return b"\xff\xd8" + text + b"\xff\xd9"
    return struct.pack(">I", len(text) + 1) + b"\x65" + text


version = sys.argv[0].rsplit("/", 1)[0]
with open(version + "/hello", "rb") as hello:
    out.write(hello.read())
    out.flush()
outputs, frames, stills, codec = {}, 0, 0, None
while True:
    kind, body = read()
    if kind in (1, 6):
        stills += 1
        picture = wrapped(0, b"still %d" % stills)
        send(129, body[:4] + struct.pack(">HH", 8, 8) + picture)
    elif kind == 2:
        codec = body[0]
    elif kind == 3:
        (name, coding) = struct.unpack(">HB", body[:3])
        outputs[name] = (coding, struct.unpack(">HH", body[3:7]))
    elif kind == 4:
        outputs.pop(struct.unpack(">H", body)[0], None)
    elif kind == 5:
        frames += 1
        number, shown, key, count = struct.unpack(">IqBB", body[:14])
        wanted = [struct.unpack(">HB", body[14 + 3 * i:17 + 3 * i]) for i in range(count)]
        data = body[14 + 3 * count:]
        if data.startswith(b"crash"):
            sys.stderr.write("a doctored picture\n")
            sys.exit(3)
        if data.startswith(b"hang"):
            time.sleep(1000)
        if data.startswith(b"late"):
            time.sleep(0.1)
        if data.startswith(b"nonsense"):
            out.write(b"\xff" * 16)
            out.flush()
        if data.startswith(b"lie"):
            number += 500
        if data.startswith((b"held", b"damaged")):
            send(132, struct.pack(">IBII", number, 1 if data.startswith(b"held") else 2, 1000, 0))
            continue
        if data.startswith(b"refused"):
            send(132, struct.pack(">IBII", number, 2, 1000, 0) + b"larger than anything")
            continue
        for name, flags in wanted:
            coding, (width, height) = outputs[name]
            text = b"%s codec=%d frames=%d outputs=%d width=%d keyframe=%d" % (
                data[:8].rstrip(b"\xff\xd9\0"), codec, frames, len(outputs), width, flags)
            piece = struct.pack(">HIqBHHII", name, number, shown, 1, width or 8, height or 8, 100, 200)
            send(131, piece + wrapped(coding, text))
        send(132, struct.pack(">IBII", number, 0 if wanted else 1, 1000, 300))
