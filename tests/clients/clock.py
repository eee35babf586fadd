"""Reads the machine-readable clock of synthetic footage from decoded luma planes.

The layout is described in src/testkit/footage/clock_code.rs: four rows of 32 square cells at the top
left of the picture, each width/32 pixels, hold 16 bytes, most significant bit first.

As a program: raw 8-bit luma planes on standard input, one line a picture on standard output.

    ffmpeg -v error -i FILE -f rawvideo -pix_fmt gray - | python3 clock.py 256 144
"""

import sys
from typing import NamedTuple, Optional

COLUMNS, ROWS = 32, 4


class Clock(NamedTuple):
    channel: int
    utc_us: int
    number: int


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def read_clock(luma, width: int, height: int, stride: Optional[int] = None) -> Optional[Clock]:
    """The clock of a plane (bytes, or a numpy array of two dimensions); None where it is damaged."""
    if hasattr(luma, "ndim") and luma.ndim == 2:
        stride = luma.shape[1]
        luma = luma.ravel()
    stride = stride or width
    cell = width // COLUMNS
    if cell == 0 or cell * ROWS > height or len(luma) < stride * (cell * ROWS - 1) + width:
        return None
    bits = 0
    for row in range(ROWS):
        line = (row * cell + cell // 2) * stride + cell // 2
        for column in range(COLUMNS):
            bits = bits << 1 | (int(luma[line + column * cell]) >= 128)
    code = bits.to_bytes(COLUMNS * ROWS // 8, "big")
    if code[0] != 0xA5 or code[15] != 0x5A or crc16(code[1:13]) != int.from_bytes(code[13:15], "big"):
        return None
    return Clock(
        int.from_bytes(code[1:3], "big"),
        int.from_bytes(code[3:11], "big", signed=True),
        int.from_bytes(code[11:13], "big"),
    )


def main() -> int:
    width, height = int(sys.argv[1]), int(sys.argv[2])
    damaged = 0
    while len(plane := sys.stdin.buffer.read(width * height)) == width * height:
        clock = read_clock(plane, width, height)
        damaged += clock is None
        print("damaged" if clock is None else f"{clock.channel} {clock.utc_us} {clock.number}")
    return 1 if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
