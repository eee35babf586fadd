#!/usr/bin/env python3
"""Replays through a WebSocket with a client library that knows nothing of RTSP. Asks the replay
service for the path and the RTSP URI first, as a client of the standard does. Prints one JSON object.

    websocket_replay.py http://127.0.0.1:8080 USER PASSWORD TOKEN UNITS

Over https it goes on over wss; certificates are not checked: the gateway made its own.
"""
import hashlib
import json
import re
import ssl
import sys
import urllib.parse

import requests
import urllib3
import websocket

service, user, password, token, wanted = sys.argv[1:6]
urllib3.disable_warnings()
NS = {"trp": "http://www.onvif.org/ver10/replay/wsdl", "tt": "http://www.onvif.org/ver10/schema"}


def call(path: str, body: str) -> str:
    """The text of an answer of a service."""
    names = " ".join(f'xmlns:{k}="{v}"' for k, v in NS.items())
    envelope = (
        f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" {names}>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )
    answer = requests.post(
        service + path,
        envelope,
        headers={"Content-Type": "application/soap+xml"},
        auth=requests.auth.HTTPDigestAuth(user, password),
        verify=False,
        timeout=60,
    )
    assert answer.ok, answer.text
    return answer.text


services = call(
    "/onvif/device_service",
    '<d:GetServices xmlns:d="http://www.onvif.org/ver10/device/wsdl">'
    "<d:IncludeCapability>false</d:IncludeCapability></d:GetServices>",
)
capabilities = call("/onvif/replay_service", "<trp:GetServiceCapabilities/>")
path = re.search(r'RTSPWebSocketUri="([^"]+)"', capabilities).group(1)


def uri(protocol: str) -> str:
    setup = (
        "<trp:StreamSetup><tt:Stream>RTP-Unicast</tt:Stream><tt:Transport><tt:Protocol>"
        f"{protocol}</tt:Protocol></tt:Transport></trp:StreamSetup>"
    )
    recording = f"<trp:RecordingToken>{token}</trp:RecordingToken>"
    answer = call("/onvif/replay_service", f"<trp:GetReplayUri>{setup}{recording}</trp:GetReplayUri>")
    return re.search(r"<[^>]*Uri>([^<]+)<", answer).group(1)


scheme, absolute = path.split(":")
host = urllib.parse.urlsplit(service).netloc
socket = websocket.create_connection(
    f"{scheme}://{host}{absolute}",
    subprotocols=["rtsp.onvif.org"],
    sslopt={"cert_reqs": ssl.CERT_NONE, "check_hostname": False},
    timeout=60,
)
assert socket.getsubprotocol() == "rtsp.onvif.org"
socket.ping("there?")

url = uri("RTSP")
data = b""
cseq = 0
challenge = None
packets = []


def more() -> None:
    """Takes what the next message brings."""
    global data
    opcode, content = socket.recv_data()
    assert opcode == websocket.ABNF.OPCODE_BINARY, opcode
    data += content


def item():
    """A packet with its channel, or a response with its status and fields."""
    global data
    while True:
        if data[:1] == b"$" and len(data) >= 4:
            end = 4 + int.from_bytes(data[2:4], "big")
            if len(data) >= end:
                packet, data = data[4:end], data[end:]
                return "packet", packet
        elif data[:1] == b"R" and b"\r\n\r\n" in data:
            head, rest = data.split(b"\r\n\r\n", 1)
            lines = head.decode().split("\r\n")
            fields = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
            length = int(fields.get("content-length", 0))
            if len(rest) >= length:
                data = rest[length:]
                return "response", (int(lines[0].split()[1]), fields, rest[:length].decode())
        more()


def digest(method: str, target: str) -> str:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    realm, nonce = (re.search(f'{k}="([^"]+)"', challenge).group(1) for k in ("realm", "nonce"))
    nc, cnonce = f"{cseq:08x}", "0a4f113b"
    ha1 = md5(f"{user}:{realm}:{password}")
    answer = md5(f"{ha1}:{nonce}:{nc}:{cnonce}:auth:{md5(f'{method}:{target}')}")
    return (
        f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{target}",'
        f' response="{answer}", qop=auth, nc={nc}, cnonce="{cnonce}"'
    )


def ask(method: str, target: str, **fields: str):
    """Sends in frames of a few bytes: their borders mean nothing."""
    global cseq, challenge
    cseq += 1
    lines = [f"{method} {target} RTSP/1.0", f"CSeq: {cseq}"]
    lines += [f"{k.replace('_', '-')}: {v}" for k, v in fields.items()]
    if challenge:
        lines.append(f"Authorization: {digest(method, target)}")
    text = ("\r\n".join(lines) + "\r\n\r\n").encode()
    for at in range(0, len(text), 50):
        socket.send_binary(text[at : at + 50])
    while True:
        kind, content = item()
        if kind == "response":
            break
        packets.append(content)
    if content[0] == 401 and not challenge:
        challenge = content[1]["www-authenticate"]
        return ask(method, target, **fields)
    assert content[0] == 200, content
    return content


ask("OPTIONS", url)
sdp = ask("DESCRIBE", url, Accept="application/sdp")[2]
control = re.search(r"m=video.*?a=control:(\S+)", sdp, re.S).group(1)
setup = ask(
    "SETUP",
    f"{url}/{control}",
    Require="onvif-replay",
    Transport="RTP/AVP/TCP;unicast;interleaved=0-1",
)
session = setup[1]["session"].split(";")[0]
ask("PLAY", url, Require="onvif-replay", Session=session, Rate_Control="no")
units = 0
while units < int(wanted):
    if not packets:
        kind, content = item()
        assert kind == "packet", content
        packets.append(content)
    packet = packets.pop(0)
    units += packet[0] & 0x10 != 0 and packet[12:16] == b"\xab\xac\x00\x03"
ask("TEARDOWN", url, Session=session)
socket.close()
json.dump(
    {
        "units": units,
        "websocket": path,
        "addresses": re.findall(r"XAddr>([^<]+)<", services),
        "uris": {p: uri(p) for p in ("UDP", "RTSP", "HTTP")},
    },
    sys.stdout,
)
