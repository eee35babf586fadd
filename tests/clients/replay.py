#!/usr/bin/env python3
"""Replays with GStreamer's ONVIF client (rtspsrc, rtponvifparse) and reads the clock in every
decoded picture. Prints one JSON object: the pictures in the order in which they came.

    replay.py rtsp://127.0.0.1:8554/replay/yard-1 USER PASSWORD FROM TO forwards|reverse

FROM and TO are RFC 3339. In this mode GStreamer's positions are nanoseconds since 1900.
"""
import datetime as dt
import json
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

import clock  # noqa: E402

url, user, password, first, last, direction = sys.argv[1:7]
EPOCH = dt.datetime(1900, 1, 1, tzinfo=dt.timezone.utc)
UNIX = 2_208_988_800
PATIENCE_S = 60


def position(text: str) -> int:
    """Nanoseconds since 1900."""
    since = dt.datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


Gst.init(None)
pipeline = Gst.parse_launch(
    "rtspsrc name=source onvif-mode=true onvif-rate-control=false buffer-mode=none"
    " ! queue ! rtponvifparse name=parse ! rtph264depay name=depay ! avdec_h264 ! videoconvert"
    " ! video/x-raw,format=GRAY8 ! appsink name=sink sync=false max-buffers=4"
)
source, sink = pipeline.get_by_name("source"), pipeline.get_by_name("sink")
source.set_property("location", url)
source.set_property("user-id", user)
source.set_property("user-pw", password)
source.set_property("tcp-timeout", PATIENCE_S * 1_000_000)
# Only the picture: the sound would need a sink of its own.
source.connect("select-stream", lambda _, n, caps: caps.get_structure(0).get_string("media") == "video")

# What the extension of each access unit says as it passes, and how many units came out whole.
units = []
whole = 0


def passing(pad, info):
    ok, view = info.get_buffer().map(Gst.MapFlags.READ)
    assert ok
    packet = bytes(view.data[:28])
    info.get_buffer().unmap(view)
    if packet[0] & 0x10 and packet[12:16] == b"\xab\xac\x00\x03":
        seconds, fraction = int.from_bytes(packet[16:20], "big"), int.from_bytes(packet[20:24], "big")
        micros = (fraction * 10**6 + (1 << 31)) >> 32
        units.append({"utc_us": (seconds - UNIX) * 10**6 + micros, "flags": packet[24] >> 4})
    return Gst.PadProbeReturn.OK


def timed(pad, info):
    """What GStreamer made of the extension: the time of the buffer."""
    if units and info.get_buffer().pts != Gst.CLOCK_TIME_NONE:
        units[-1].setdefault("pts_us", info.get_buffer().pts // 1000 - UNIX * 10**6)
    return Gst.PadProbeReturn.OK


def unpacked(pad, info):
    global whole
    whole += 1
    return Gst.PadProbeReturn.OK


pipeline.get_by_name("parse").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, passing)
pipeline.get_by_name("parse").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, timed)
pipeline.get_by_name("depay").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, unpacked)

rate = -1.0 if direction == "reverse" else 1.0
seek = Gst.Event.new_seek(
    rate,
    Gst.Format.TIME,
    Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE,
    Gst.SeekType.SET,
    position(first),
    Gst.SeekType.SET,
    position(last),
)
assert source.send_event(seek), "rtspsrc refuses to seek"
pipeline.set_state(Gst.State.PLAYING)

pictures = []
bus = pipeline.get_bus()
deadline = GLib.get_monotonic_time() + PATIENCE_S * 1_000_000
closed = False
while not sink.get_property("eos"):
    assert GLib.get_monotonic_time() < deadline, f"hangs after {len(pictures)} pictures, {len(units)} units"
    sample = sink.emit("try-pull-sample", 50 * Gst.MSECOND)
    if sample is not None:
        buffer, shape = sample.get_buffer(), sample.get_caps().get_structure(0)
        width, height = shape.get_value("width"), shape.get_value("height")
        ok, view = buffer.map(Gst.MapFlags.READ)
        assert ok
        seen = clock.read_clock(view.data, width, height, (width + 3) // 4 * 4)
        buffer.unmap(view)
        known = buffer.pts != Gst.CLOCK_TIME_NONE
        pictures.append(
            {
                "pts_us": buffer.pts // 1000 - UNIX * 10**6 if known else None,
                "shown_us": seen and seen.utc_us,
            }
        )
        continue
    message = bus.pop_filtered(Gst.MessageType.ERROR)
    if message is not None:
        raise SystemExit(": ".join(str(part) for part in message.parse_error()))
    # The server stays in the playing state at the end (R8.9-1); the terminal mark tells that nothing
    # more comes, and the decoder may let go of its last pictures.
    if not closed and units and units[-1]["flags"] & 1 and whole == len(units):
        closed = True
        pipeline.get_by_name("depay").get_static_pad("sink").send_event(Gst.Event.new_eos())
pipeline.set_state(Gst.State.NULL)
json.dump({"version": Gst.version_string(), "units": units, "pictures": pictures}, sys.stdout)
