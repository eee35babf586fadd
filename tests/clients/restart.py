#!/usr/bin/env python3
"""Asks for a restart with zeep and the official WSDL, after reading the endpoint's address, which must
stay. Prints both.

    restart.py http://127.0.0.1:8080 admin PASSWORD
"""
import json
import pathlib
import sys

import onvif
import requests
import zeep
from requests.auth import HTTPDigestAuth
from zeep.transports import Transport

base, user, password = sys.argv[1:4]
wsdl = pathlib.Path(onvif.__file__).parent.parent / "wsdl"
session = requests.Session()
session.auth = HTTPDigestAuth(user, password)
client = zeep.Client(str(wsdl / "devicemgmt.wsdl"), transport=Transport(session=session))
device = client.create_service(
    "{http://www.onvif.org/ver10/device/wsdl}DeviceBinding", f"{base}/onvif/device_service"
)
endpoint = device.GetEndpointReference().GUID
json.dump({"endpoint": endpoint, "message": device.SystemReboot()}, sys.stdout)
