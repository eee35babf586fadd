"""gst-rtsp-server with its ONVIF classes, playing one file. Prints its port."""
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

Gst.init(None)
server = GstRtspServer.RTSPOnvifServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPOnvifMediaFactory()
factory.set_launch(
    f"( filesrc location={sys.argv[1]} ! matroskademux ! h264parse "
    "! rtph264pay name=pay0 pt=96 )"
)
factory.set_media_gtype(GstRtspServer.RTSPOnvifMedia)
server.get_mount_points().add_factory("/replay/r", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
