#!/usr/bin/env python3
"""A Profile G client made of zeep (strict) and the official WSDLs: device, search, replay and the
reading part of recording. Prints one JSON object of what it learnt; any schema violation, fault
or broken rule ends it with an exception.

    profile_g.py http://127.0.0.1:8080 admin PASSWORD
"""
import datetime as dt
import json
import pathlib
import sys

import onvif
import requests
import zeep
from lxml import etree
from requests.auth import HTTPDigestAuth
from zeep.transports import Transport
from zeep.wsse.username import UsernameToken

base, user, password = sys.argv[1:4]
wsdl = pathlib.Path(onvif.__file__).parent.parent / "wsdl"
UTC = dt.timezone.utc


def service(name: str, binding: str, address: str, auth: str):
    """A proxy. `auth`: digest over HTTP, token in the envelope, or none."""
    session = requests.Session()
    if auth == "digest":
        session.auth = HTTPDigestAuth(user, password)
    wsse = UsernameToken(user, password, use_digest=True) if auth == "token" else None
    client = zeep.Client(
        str(wsdl / f"{name}.wsdl"),
        wsse=wsse,
        settings=zeep.Settings(strict=True),
        transport=Transport(session=session, operation_timeout=30),
    )
    return client, client.create_service(binding, address)


def binding(name: str, local: str) -> str:
    return {
        "device": "{http://www.onvif.org/ver10/device/wsdl}DeviceBinding",
        "search": "{http://www.onvif.org/ver10/search/wsdl}SearchBinding",
        "replay": "{http://www.onvif.org/ver10/replay/wsdl}ReplayBinding",
        "recording": "{http://www.onvif.org/ver10/recording/wsdl}RecordingBinding",
    }[name]


def subcode(call) -> str:
    """The innermost fault subcode of a call that must fail."""
    try:
        call()
    except zeep.exceptions.Fault as fault:
        return fault.subcodes[-1].localname if fault.subcodes else fault.code
    raise AssertionError("a fault was expected")


found: dict = {}

# -- device: what needs no log-in, then who we are ----------------------------------------------
device_address = f"{base}/onvif/device_service"
_, anonymous = service("devicemgmt", binding("device", ""), device_address, "none")
clock = anonymous.GetSystemDateAndTime()
assert clock.UTCDateTime is not None
services = {s.Namespace: s for s in anonymous.GetServices(IncludeCapability=True)}
found["services"] = sorted(services)
assert subcode(lambda: anonymous.GetDeviceInformation()) == "NotAuthorized"

_, device = service("devicemgmt", binding("device", ""), device_address, "token")
information = device.GetDeviceInformation()
found["model"] = information.Model
capabilities = device.GetCapabilities(Category="All")
# The schema of the package has a wildcard in front of the named elements, which takes them all.
extension = capabilities.Extension._value_1
found["capabilities"] = sorted(etree.QName(e).localname for e in extension)
scopes = device.GetScopes()
found["scopes"] = [s.ScopeItem for s in scopes]
device.GetHostname()
assert device.GetNetworkInterfaces()
assert any(u.Username == user for u in device.GetUsers())


def address(namespace: str) -> str:
    return services[f"http://www.onvif.org/ver10/{namespace}/wsdl"].XAddr


# -- recording: what there is ------------------------------------------------------------------
_, recording = service("recording", binding("recording", ""), address("recording"), "digest")
items = recording.GetRecordings()
recordings = {i.RecordingToken: i for i in items}
for token, item in recordings.items():
    same = recording.GetRecordingConfiguration(RecordingToken=token)
    assert same.Source.SourceId == item.Configuration.Source.SourceId
    for track in item.Tracks.Track:
        t = recording.GetTrackConfiguration(RecordingToken=token, TrackToken=track.TrackToken)
        assert t.TrackType == track.Configuration.TrackType
    recording.GetRecordingOptions(RecordingToken=token)
jobs = recording.GetRecordingJobs()
assert {j.JobConfiguration.RecordingToken for j in jobs} == set(recordings)
for job in jobs:
    state = recording.GetRecordingJobState(JobToken=job.JobToken)
    assert state.RecordingToken == job.JobConfiguration.RecordingToken
found["fault_recording"] = subcode(lambda: recording.GetRecordingConfiguration(RecordingToken="nobody"))
found["fault_create"] = subcode(
    lambda: recording.DeleteRecording(RecordingToken=next(iter(recordings)))
)

# -- search ------------------------------------------------------------------------------------
search_client, search = service("search", binding("search", ""), address("search"), "digest")
summary = search.GetRecordingSummary()
assert summary.NumberRecordings == len(recordings)
found["summary"] = [summary.DataFrom.isoformat(), summary.DataUntil.isoformat()]


def find(scope: dict, **more) -> list:
    token = search.FindRecordings(Scope=scope, KeepAliveTime=dt.timedelta(seconds=10), **more)
    out: list = []
    while True:
        page = search.GetRecordingSearchResults(
            SearchToken=token, MinResults=1, MaxResults=2, WaitTime=dt.timedelta(seconds=5)
        )
        assert len(page.RecordingInformation) <= 2
        out += page.RecordingInformation
        if page.SearchState == "Completed":
            return out


all_found = find({})
assert {r.RecordingToken for r in all_found} == set(recordings)
# What one widespread driver sends, and what another appends to it.
with_video = find({"RecordingInformationFilter": 'boolean(//Track[TrackType = "Video"])'})
tail = ",2016-12-06T08:07:43Z,99999999,20,99999999,20"
same = find({"RecordingInformationFilter": 'boolean(//Track[TrackType = "Video"])' + tail})
assert [r.RecordingToken for r in with_video] == [r.RecordingToken for r in same]
found["recordings"] = {
    r.RecordingToken: {
        "name": r.Source.Name,
        "status": r.RecordingStatus,
        "earliest": r.EarliestRecording and r.EarliestRecording.isoformat(),
        "latest": r.LatestRecording and r.LatestRecording.isoformat(),
        "tracks": [
            [t.TrackToken, t.TrackType, t.DataFrom.isoformat(), t.DataTo.isoformat()] for t in r.Track
        ],
    }
    for r in all_found
}
for r in all_found:
    known = [t.TrackToken for t in recordings[r.RecordingToken].Tracks.Track]
    assert len(known) == len(set(known)) and {t.TrackToken for t in r.Track} <= set(known)
    one = search.GetRecordingInformation(RecordingToken=r.RecordingToken)
    assert one.RecordingStatus == r.RecordingStatus
    if r.LatestRecording:
        instant = r.LatestRecording - dt.timedelta(seconds=30)
        for a in search.GetMediaAttributes(RecordingTokens=[r.RecordingToken], Time=instant):
            assert a.From <= instant <= a.Until
            assert a.TrackAttributes[0].VideoAttributes.Encoding in ("H264", "H265")
            for t in a.TrackAttributes:
                kinds = (t.VideoAttributes, t.AudioAttributes, t.MetadataAttributes)
                assert sum(k is not None for k in kinds) == 1
                if t.TrackInformation.TrackType == "Metadata":
                    assert t.MetadataAttributes.CanContainNotifications

WSNT = "http://docs.oasis-open.org/wsn/b-2"


def topic_filter(expression: str):
    element = etree.Element(f"{{{WSNT}}}TopicExpression", nsmap={"tns1": "http://www.onvif.org/ver10/topics"})
    element.set("Dialect", "http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet")
    element.text = expression
    return {"_value_1": [element]}


def events(start, end, scope: dict, expression: str = "", start_state: bool = False, **more) -> list:
    token = search.FindEvents(
        StartPoint=start,
        EndPoint=end,
        Scope=scope,
        SearchFilter=topic_filter(expression) if expression else {},
        IncludeStartState=start_state,
        KeepAliveTime=dt.timedelta(seconds=10),
        **more,
    )
    out: list = []
    while True:
        page = search.GetEventSearchResults(
            SearchToken=token, MinResults=1, MaxResults=50, WaitTime=dt.timedelta(seconds=5)
        )
        out += page.Result
        if page.SearchState == "Completed":
            return out


def item(e, kind: str, name: str):
    """A simple item of an event's source or data."""
    found = [i.Value for i in e.Event.Message._value_1[kind].SimpleItem if i.Name == name]
    return found[0] if found else None


SECOND = dt.timedelta(seconds=1)


def as_the_device_test_wants(r) -> None:
    """What the official device tests of FindEvents ask of a recording that has ended."""
    scope = {"IncludedRecordings": [r.RecordingToken]}
    first, last = r.EarliestRecording, r.LatestRecording
    # The topic is mixed content, which zeep leaves out; the items tell the two histories apart.
    items = lambda part: [(i.Name, i.Value) for i in part.SimpleItem]
    key = lambda e: (
        e.Time,
        e.TrackToken or "",
        items(e.Event.Message._value_1.Source),
        items(e.Event.Message._value_1.Data),
    )
    recording = lambda e: item(e, "Data", "IsRecording")
    track = lambda e: item(e, "Data", "IsDataPresent") and item(e, "Source", "Track")
    tracks = {t.TrackToken: t for t in r.Track}

    every = sorted(t.TrackToken for t in recordings[r.RecordingToken].Tracks.Track)

    # SEARCH-3-1-13, SEARCH-3-1-14: the whole recording, exactly and from a little outside.
    exact = events(first, last, scope)
    for start, end in ((first - 9 * SECOND, last + 9 * SECOND), (last + 9 * SECOND, first - 9 * SECOND)):
        wide = events(start, end, scope)
        assert sorted(map(key, wide)) == sorted(map(key, exact))
        times = [e.Time for e in wide]
        assert times == sorted(times, reverse=start > end)
        assert all(not e.StartStateEvent and first <= e.Time <= last for e in wide)
    states = [recording(e) for e in exact if recording(e)]
    assert len(states) >= 2 and states == ["true", "false"] * (len(states) // 2), states
    for token, information in tracks.items():
        own = [e for e in exact if track(e) == token]
        states = [item(e, "Data", "IsDataPresent") for e in own]
        assert len(states) >= 2 and states == ["true", "false"] * (len(states) // 2), (token, states)
        assert all(information.DataFrom <= e.Time <= information.DataTo for e in own)
        assert all(e.TrackToken == token for e in own)

    # SEARCH-3-1-11: inside, with the states at the start, backwards at both ends.
    start, end = first + 5 * SECOND, last - 5 * SECOND
    inside = {}
    for ends in ((start, end), (end, start)):
        found = events(*ends, scope, start_state=True)
        times = [e.Time for e in found]
        assert times == sorted(times, reverse=ends[0] > ends[1])
        assert all(start <= e.Time <= end for e in found)
        virtual = [e for e in found if e.StartStateEvent]
        for at in ends if ends[0] > ends[1] else ends[:1]:
            here = [e for e in virtual if e.Time == at]
            assert len([e for e in here if recording(e)]) == 1
            told = sorted(track(e) for e in here if track(e))
            assert told == every, told
            operations = {e.Event.Message._value_1.PropertyOperation for e in here}
            assert operations == {"Initialized"}, operations
        assert {e.Time for e in virtual} <= set(ends if ends[0] > ends[1] else ends[:1])
        inside[ends] = sorted(key(e) for e in found if not e.StartStateEvent)
    assert inside[start, end] == inside[end, start]

    # SEARCH-3-1-5: one, and the search is complete.
    for ends in ((first, last), (last, first)):
        assert len(events(*ends, scope, MaxMatches=1)) == 1


found["events"] = {}
for r in all_found:
    if not r.EarliestRecording:
        continue
    scope = {"IncludedRecordings": [r.RecordingToken]}
    history = "tns1:RecordingHistory/Track/State"
    forward = events(r.EarliestRecording, r.LatestRecording, scope, history)
    backward = events(r.LatestRecording, r.EarliestRecording, scope, history)
    key = lambda e: (e.Time, e.TrackToken)
    assert sorted(map(key, forward)) == sorted(map(key, backward))
    assert [e.Time for e in forward] == sorted(e.Time for e in forward)
    spans: dict = {}
    for e in forward:
        message = e.Event.Message._value_1
        value = message.Data.SimpleItem[0].Value
        assert message.UtcTime == e.Time
        assert not e.StartStateEvent
        spans.setdefault(e.TrackToken, []).append([e.Time.astimezone(UTC).isoformat(), value])
    for track, edges in spans.items():
        assert [v for _, v in edges] == ["true", "false"] * (len(edges) // 2) + ["true"] * (len(edges) % 2), edges
    virtual = events(r.EarliestRecording, r.LatestRecording, scope, history, start_state=True)
    assert any(e.StartStateEvent for e in virtual)
    motion = events(r.EarliestRecording, r.LatestRecording, scope, "tns1:VideoSource/MotionAlarm")
    found["events"][r.RecordingToken] = {"spans": spans, "motion": len(motion)}
    if r.RecordingStatus == "Stopped":
        as_the_device_test_wants(r)
        found.setdefault("device_tests", []).append(r.RecordingToken)

assert found.get("device_tests"), "no recording has ended"

# SEARCH-2-1-7, SEARCH-2-1-8 and those after it: bounds and filters of FindRecordings.
for most in (1, len(all_found) - 1, len(all_found)):
    assert len(find({}, MaxMatches=most)) == most
kinds = {r.RecordingToken: {t.TrackType for t in r.Track} for r in all_found}
for wanted in (["Video"], ["Audio"], ["Metadata"], ["Video", "Audio"], ["Video", "Metadata"]):
    text = " and ".join(f'boolean(//Track[TrackType = "{kind}"])' for kind in wanted)
    matching = {r.RecordingToken for r in find({"RecordingInformationFilter": text})}
    assert matching == {r for r, have in kinds.items() if have >= set(wanted)}, (text, matching)

found["fault_token"] = subcode(lambda: search.GetRecordingInformation(RecordingToken="nobody"))
found["fault_ended"] = subcode(lambda: search.EndSearch(SearchToken="nobody"))


# SEARCH-5-1-5: a filter that nothing matches.
NOTHING = 'boolean(//Track[TrackToken = "NonExistingToken"])'


def find_metadata(wanted: str = NOTHING, scope: dict = {}):
    return search.FindMetadata(
        StartPoint=summary.DataFrom,
        EndPoint=summary.DataUntil,
        Scope=scope,
        MetadataFilter={"MetadataStreamFilter": wanted},
        KeepAliveTime=dt.timedelta(seconds=10),
    )


# R6.13-1, R6.13-2, R6.16-2: it works where the capabilities say so, else it is a fault.
if search.GetServiceCapabilities().MetadataSearch:
    token = find_metadata()
    while True:
        page = search.GetMetadataSearchResults(SearchToken=token, WaitTime=dt.timedelta(seconds=5))
        assert not page.Result
        if page.SearchState == "Completed":
            break
    # SEARCH-5-1-1: what FindEvents finds on a metadata track while it was recorded, once an instant.
    for r in all_found:
        scope = {"IncludedRecordings": [r.RecordingToken]}
        token = find_metadata('boolean(//SimpleItem[@Name = "State"])', scope)
        documents: list = []
        while True:
            page = search.GetMetadataSearchResults(
                SearchToken=token, MaxResults=7, WaitTime=dt.timedelta(seconds=5)
            )
            documents += page.Result
            if page.SearchState == "Completed":
                break
        times = [d.Time for d in documents]
        assert times == sorted(set(times))
        tracks = {t.TrackToken for t in r.Track if t.TrackType == "Metadata"}
        assert {d.TrackToken for d in documents} <= tracks and bool(documents) == bool(tracks)
        if documents:
            told = events(summary.DataFrom, summary.DataUntil, scope, "tns1:VideoSource/MotionAlarm")
            assert set(times) <= {e.Time for e in told}
            assert {e.TrackToken for e in told} <= tracks | {None, ""}
else:
    assert subcode(find_metadata) == "NotImplemented"

# -- replay ------------------------------------------------------------------------------------
_, replay = service("replay", binding("replay", ""), address("replay"), "digest")
found["uris"] = {}
for token in recordings:
    for protocol in ("RTSP", "UDP"):
        setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": protocol}}
        found["uris"][token] = replay.GetReplayUri(StreamSetup=setup, RecordingToken=token)
bad = {"Stream": "RTP-Multicast", "Transport": {"Protocol": "UDP"}}
found["fault_setup"] = subcode(lambda: replay.GetReplayUri(StreamSetup=bad, RecordingToken=token))
before = replay.GetReplayConfiguration().SessionTimeout
replay.SetReplayConfiguration(Configuration={"SessionTimeout": dt.timedelta(seconds=90)})
assert replay.GetReplayConfiguration().SessionTimeout == dt.timedelta(seconds=90)
replay.SetReplayConfiguration(Configuration={"SessionTimeout": before})

json.dump(found, sys.stdout, indent=1)
