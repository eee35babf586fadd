#!/usr/bin/env python3
"""The state of a recording job with zeep (strict) and the official WSDL, as JSON.

    job.py http://127.0.0.1:8080 admin PASSWORD JOB
"""
import json
import pathlib
import sys

import onvif
import requests
import zeep
from requests.auth import HTTPDigestAuth
from zeep.transports import Transport

base, user, password, job = sys.argv[1:5]
wsdl = pathlib.Path(onvif.__file__).parent.parent / "wsdl"
session = requests.Session()
session.auth = HTTPDigestAuth(user, password)
client = zeep.Client(
    str(wsdl / "recording.wsdl"),
    settings=zeep.Settings(strict=True),
    transport=Transport(session=session, operation_timeout=30),
)
recording = client.create_service(
    "{http://www.onvif.org/ver10/recording/wsdl}RecordingBinding", f"{base}/onvif/recording_service"
)
state = recording.GetRecordingJobState(JobToken=job)
sources = [
    {"state": s.State, "tracks": [{"state": t.State, "error": t.Error} for t in s.Tracks.Track]}
    for s in state.Sources
]
json.dump({"state": state.State, "sources": sources}, sys.stdout)
