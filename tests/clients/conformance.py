#!/usr/bin/env python3
"""Asks every operation of the official WSDLs, and checks every answer against the schemas of the
same package: a response is valid and is the one of the operation, all else is a SOAP 1.2 fault.
Prints one JSON object: what each operation answers to whom, and the tokens that are shown.

    conformance.py http://127.0.0.1:8080 rtsp://127.0.0.1:8554 NAME:PASSWORD…

The first user is an administrator.
"""
import hashlib
import json
import pathlib
import re
import shutil
import socket
import sys
import tempfile
import urllib.parse

import onvif
import requests
from lxml import etree
from requests.auth import HTTPDigestAuth

base, rtsp = sys.argv[1:3]
users = dict(argument.split(":", 1) for argument in sys.argv[3:])
admin = next(iter(users))
package = pathlib.Path(onvif.__file__).parent.parent / "wsdl"
ENV = "http://www.w3.org/2003/05/soap-envelope"
XS = "http://www.w3.org/2001/XMLSchema"
WSDL = "http://schemas.xmlsoap.org/wsdl/"
TER = "http://www.onvif.org/ver10/error"
TT = "http://www.onvif.org/ver10/schema"
SERVICES = {
    "device": ("devicemgmt", "http://www.onvif.org/ver10/device/wsdl"),
    "recording": ("recording", "http://www.onvif.org/ver10/recording/wsdl"),
    "search": ("search", "http://www.onvif.org/ver10/search/wsdl"),
    "replay": ("replay", "http://www.onvif.org/ver10/replay/wsdl"),
}
PREFIX = {"device": "tds", "recording": "trc", "search": "tse", "replay": "trp"}
DECLARED = " ".join(f'xmlns:{PREFIX[s]}="{ns}"' for s, (_, ns) in SERVICES.items())
DECLARED += f' xmlns:tt="{TT}" xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2"'


def schemas() -> dict:
    """The schema that stands inside each WSDL, with what it imports."""
    folder = pathlib.Path(tempfile.mkdtemp())
    for file in package.iterdir():
        shutil.copy(file, folder)
    out = {}
    for service, (file, _) in SERVICES.items():
        inline = etree.parse(package / f"{file}.wsdl").find(f".//{{{XS}}}schema")
        path = folder / f"{service}.inline.xsd"
        path.write_bytes(etree.tostring(inline))
        out[service] = etree.XMLSchema(etree.parse(path, etree.XMLParser(no_network=True)))
    shutil.rmtree(folder)
    return out


def operations(service: str) -> list:
    port = etree.parse(package / f"{SERVICES[service][0]}.wsdl").find(f"{{{WSDL}}}portType")
    return [o.get("name") for o in port.findall(f"{{{WSDL}}}operation")]


schema = schemas()
sessions = {None: requests.Session()}
for name, password in users.items():
    sessions[name] = requests.Session()
    sessions[name].auth = HTTPDigestAuth(name, password)


def post(service: str, content: str, user):
    """The answer's status and the child of its body; whatever it is, it is proper SOAP 1.2."""
    text = f'<env:Envelope xmlns:env="{ENV}" {DECLARED}><env:Body>{content}</env:Body></env:Envelope>'
    answer = sessions[user].post(
        f"{base}/onvif/{service}_service",
        data=text.encode(),
        headers={"Content-Type": "application/soap+xml; charset=utf-8"},
        timeout=30,
    )
    assert answer.headers["Content-Type"] == "application/soap+xml; charset=utf-8", content
    root = etree.fromstring(answer.content)
    assert root.tag == f"{{{ENV}}}Envelope", content
    (child,) = root.find(f"{{{ENV}}}Body")
    # RH1-10: every time is UTC and says so.
    for element in child.iter():
        for value in [element.text or "", *element.attrib.values()]:
            if re.match(r"\d{4}-\d\d-\d\dT", value):
                assert value.endswith("Z"), f"{content}: {value}"
    return answer, child


def codes(fault) -> str:
    out, at = [], fault.find(f"{{{ENV}}}Code")
    while at is not None:
        value = at.find(f"{{{ENV}}}Value")
        prefix, local = value.text.split(":")
        assert value.nsmap[prefix] == (TER if out else ENV), value.text
        out.append(local)
        at = at.find(f"{{{ENV}}}Subcode")
    reason = fault.find(f"{{{ENV}}}Reason/{{{ENV}}}Text")
    assert reason.text and reason.get("{http://www.w3.org/XML/1998/namespace}lang")
    return "/".join(out)


def ask(service: str, operation: str, content: str = "", user=admin):
    """A valid response element, or the codes of a fault."""
    prefix, namespace = PREFIX[service], SERVICES[service][1]
    body = f"<{prefix}:{operation}>{content}</{prefix}:{operation}>"
    answer, child = post(service, body, user)
    if child.tag == f"{{{ENV}}}Fault":
        found = codes(child)
        status = {"Sender": (400, 401), "Receiver": (500,)}[found.split("/")[0]]
        assert answer.status_code in status, f"{operation}: {found} with {answer.status_code}"
        if answer.status_code == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Digest "), operation
        return found
    assert answer.status_code == 200, operation
    assert child.tag == f"{{{namespace}}}{operation}Response", f"{operation}: {child.tag}"
    # A tree of its own, so that nothing of the envelope takes part.
    schema[service].assertValid(etree.fromstring(etree.tostring(child)))
    return child


def good(service: str, operation: str, content: str = ""):
    """The response to a request that is itself valid."""
    prefix, namespace = PREFIX[service], SERVICES[service][1]
    request = f"<{prefix}:{operation} {DECLARED}>{content}</{prefix}:{operation}>"
    schema[service].assertValid(etree.fromstring(request))
    child = ask(service, operation, content)
    assert not isinstance(child, str), f"{operation}: {child}"
    return child


def texts(element, local: str) -> list:
    return [e.text for e in element.iter() if etree.QName(e).localname == local]


found: dict = {"operations": {}}

# -- every operation, without arguments, by everybody ----------------------------------------------
for service in SERVICES:
    for operation in operations(service):
        said = {}
        for user in sessions:
            if (operation, user) == ("SystemReboot", admin):
                # It would; a test of its own does that.
                said[user] = "answer"
                continue
            answer = ask(service, operation, user=user)
            said[user or "nobody"] = answer if isinstance(answer, str) else "answer"
        found["operations"][f"{service}.{operation}"] = said

# -- capabilities are the same from both sides ----------------------------------------------------
listed = good("device", "GetServices", "<tds:IncludeCapability>true</tds:IncludeCapability>")
found["services"] = texts(listed, "Namespace")


def plain(e) -> tuple:
    """Names, attributes, texts; no prefixes."""
    return e.tag, sorted(e.attrib.items()), (e.text or "").strip(), [plain(c) for c in e]


for service, (_, namespace) in SERVICES.items():
    (entry,) = [s for s in listed if s.find(f"{{{SERVICES['device'][1]}}}Namespace").text == namespace]
    address = entry.find(f"{{{SERVICES['device'][1]}}}XAddr").text
    assert address == f"{base}/onvif/{service}_service", address
    one = entry.find(f"{{{SERVICES['device'][1]}}}Capabilities")[0]
    other = good(service, "GetServiceCapabilities")[0]
    assert plain(one) == plain(other), service
found["metadata_search"] = good("search", "GetServiceCapabilities")[0].get("MetadataSearch")
for category in ("All", "Device"):
    good("device", "GetCapabilities", f"<tds:Category>{category}</tds:Category>")

# -- valid requests ---------------------------------------------------------------------------------
for operation in """GetSystemDateAndTime GetDeviceInformation GetScopes GetHostname GetDNS GetNTP
        GetNetworkInterfaces GetNetworkProtocols GetNetworkDefaultGateway GetUsers GetWsdlUrl
        GetEndpointReference GetDiscoveryMode""".split():
    good("device", operation)
scope = "urn:test:scope"
good("device", "AddScopes", f"<tds:ScopeItem>{scope}</tds:ScopeItem>")
assert scope in texts(good("device", "GetScopes"), "ScopeItem")
good("device", "RemoveScopes", f"<tds:ScopeItem>{scope}</tds:ScopeItem>")
found["endpoint"] = texts(good("device", "GetEndpointReference"), "GUID")



def account(name: str, password: str) -> str:
    return (
        f"<tds:User><tt:Username>{name}</tt:Username><tt:Password>{password}</tt:Password>"
        "<tt:UserLevel>Operator</tt:UserLevel></tds:User>"
    )


# Accounts come, change and go. One stays; whoever names it as a user takes it away again.
good("device", "CreateUsers", account("made", "first"))
good("device", "SetUser", account("made", "second"))
for password, answer in (("first", str), ("second", etree._Element)):
    sessions["made"] = requests.Session()
    sessions["made"].auth = HTTPDigestAuth("made", password)
    assert isinstance(ask("device", "GetScopes", user="made"), answer), password
good("device", "DeleteUsers", "<tds:Username>made</tds:Username>")
assert ask("device", "GetScopes", user="made") == "Sender/NotAuthorized"
del sessions["made"]
STAYS, WITH = "stays", "its password"

items = good("recording", "GetRecordings")
recordings = [i.findtext(f"{{{TT}}}RecordingToken") for i in items]
found["recordings"] = recordings
found["tracks"] = texts(items, "TrackToken")
found["names"] = texts(items, "Name")
jobs = texts(good("recording", "GetRecordingJobs"), "JobToken")
found["jobs"] = jobs
for token in recordings:
    by_token = f"<trc:RecordingToken>{token}</trc:RecordingToken>"
    good("recording", "GetRecordingConfiguration", by_token)
    good("recording", "GetRecordingOptions", by_token)
    (item,) = [i for i in items if i.findtext(f"{{{TT}}}RecordingToken") == token]
    for track in texts(item, "TrackToken"):
        by_track = f"{by_token}<trc:TrackToken>{track}</trc:TrackToken>"
        good("recording", "GetTrackConfiguration", by_track)
for job in jobs:
    for operation in ("GetRecordingJobConfiguration", "GetRecordingJobState"):
        good("recording", operation, f"<trc:JobToken>{job}</trc:JobToken>")

summary = good("search", "GetRecordingSummary")
earliest, latest = texts(summary, "DataFrom")[0], texts(summary, "DataUntil")[0]
for token in recordings:
    good("search", "GetRecordingInformation", f"<tse:RecordingToken>{token}</tse:RecordingToken>")
good("search", "GetMediaAttributes", f"<tse:Time>{earliest}</tse:Time>")


def results(operation: str, token: str) -> list:
    pages = []
    while True:
        content = f"<tse:SearchToken>{token}</tse:SearchToken><tse:MaxResults>3</tse:MaxResults>"
        page = good("search", operation, f"{content}<tse:WaitTime>PT5S</tse:WaitTime>")
        pages.append(page)
        if texts(page, "SearchState") == ["Completed"]:
            return pages


keep = "<tse:KeepAliveTime>PT10S</tse:KeepAliveTime>"
token = texts(good("search", "FindRecordings", f"<tse:Scope/>{keep}"), "SearchToken")[0]
pages = results("GetRecordingSearchResults", token)
assert sorted(t for p in pages for t in texts(p, "RecordingToken")) == sorted(recordings)
for start, end in ((earliest, latest), (latest, earliest)):
    content = f"<tse:StartPoint>{start}</tse:StartPoint><tse:EndPoint>{end}</tse:EndPoint><tse:Scope/>"
    content += "<tse:SearchFilter/><tse:IncludeStartState>true</tse:IncludeStartState>"
    token = texts(good("search", "FindEvents", content + keep), "SearchToken")[0]
    assert len(results("GetEventSearchResults", token)) > 1
token = texts(good("search", "FindRecordings", f"<tse:Scope/>{keep}"), "SearchToken")[0]
good("search", "EndSearch", f"<tse:SearchToken>{token}</tse:SearchToken>")

for protocol in ("UDP", "RTSP", "HTTP"):
    content = "<trp:StreamSetup><tt:Stream>RTP-Unicast</tt:Stream><tt:Transport>"
    content += f"<tt:Protocol>{protocol}</tt:Protocol></tt:Transport></trp:StreamSetup>"
    uri = good(
        "replay", "GetReplayUri", f"{content}<trp:RecordingToken>{recordings[0]}</trp:RecordingToken>"
    )
    assert texts(uri, "Uri")[0].startswith("http" if protocol == "HTTP" else "rtsp")
good("replay", "GetReplayConfiguration")
timeout = "<tt:SessionTimeout>PT60S</tt:SessionTimeout>"
good("replay", "SetReplayConfiguration", f"<trp:Configuration>{timeout}</trp:Configuration>")

# -- the same credentials for RTSP --------------------------------------------------------------------
def describe(name: str, password: str) -> int:
    """The status of DESCRIBE after a digest of MD5, or of SHA-256 where nothing else is offered."""
    uri = f"{rtsp}/replay/{recordings[0]}"
    where = urllib.parse.urlsplit(rtsp)
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        lines = connection.makefile("rb")

        def send(cseq: int, more: str):
            text = f"DESCRIBE {uri} RTSP/1.0\r\nCSeq: {cseq}\r\n{more}\r\n"
            connection.sendall(text.encode())
            status = int(lines.readline().split()[1])
            head = [line.decode().strip() for line in iter(lines.readline, b"\r\n")]
            size = [int(h.split(":")[1]) for h in head if h.lower().startswith("content-length:")]
            lines.read(sum(size))
            return status, head

        status, head = send(1, "")
        assert status == 401, status
        challenges = [h for h in head if h.startswith("WWW-Authenticate: Digest ")]
        (challenge,) = [c for c in challenges if "algorithm=MD5" in c]
        part = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        md5 = lambda text: hashlib.md5(text.encode()).hexdigest()
        one, two = md5(f"{name}:{part['realm']}:{password}"), md5(f"DESCRIBE:{uri}")
        response = md5(f"{one}:{part['nonce']}:00000001:c:auth:{two}")
        header = f'Authorization: Digest username="{name}", realm="{part["realm"]}", uri="{uri}", '
        header += f'nonce="{part["nonce"]}", qop=auth, nc=00000001, cnonce="c", response="{response}"'
        return send(2, header + "\r\n")[0]


found["rtsp"] = {name: describe(name, password) for name, password in users.items()}
found["rtsp_wrong"] = describe(admin, users[admin] + "x")
if STAYS in users:
    good("device", "DeleteUsers", f"<tds:Username>{STAYS}</tds:Username>")
else:
    good("device", "CreateUsers", account(STAYS, WITH))

json.dump(found, sys.stdout, indent=1)
