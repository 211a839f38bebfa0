#!/usr/bin/env python3
"""An RTSP camera made of GStreamer's RTSP server, which refuses nothing that the standard allows.

It writes lines: `listening PORT` once it does; then what clients ask for, as `METHOD PATH` in small letters, and `closed`
when one's connection ends. It takes lines: `password WORD` exchanges the password of its user and ends every connection;
`close` ends them only; `end` or the end of its input ends the camera.
"""
import argparse
import sys
import warnings

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer as Server

# What PyGObject makes of a signal with a message that is no object.
warnings.filterwarnings("ignore", ".*g_value_get_object")
METHODS = "options describe setup play pause teardown get-parameter set-parameter".split()
TRANSPORTS = {
    "udp": GstRtsp.RTSPLowerTrans.UDP,
    "tcp": GstRtsp.RTSPLowerTrans.TCP,
    "mcast": GstRtsp.RTSPLowerTrans.UDP_MCAST,
}
SOUNDS = {
    "aac": "audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97",
    "opus": "audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay name=pay1 pt=97",
    "pcmu": "audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1",
    "pcma": "audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1",
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", choices=["h264", "h265", "jpeg"], default="h264")
    parser.add_argument("--sound", choices=["none", *SOUNDS], default="none")
    parser.add_argument("--transports", default="tcp,udp", help="of tcp, udp and mcast, by commas")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", default="0", help="0: any that is free")
    parser.add_argument("--path", default="/stream")
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--rate", type=int, default=15, help="pictures a second")
    parser.add_argument("--keyframes", type=int, default=15, help="pictures from one keyframe to the next")
    parser.add_argument("--b-frames", type=int, default=0, help="H.264 only")
    parser.add_argument("--slices", action="store_true", help="several to a picture, H.264 only")
    parser.add_argument("--in-band", action="store_true", help="parameter sets with the keyframes only, not in the SDP")
    parser.add_argument("--user", help="NAME:PASSWORD")
    parser.add_argument("--auth", choices=["basic", "digest", "both"], default="digest",
                        help="both: basic is offered first, and refused")
    parser.add_argument("--tls", help="a PEM file with a certificate and its key: rtsps")
    parser.add_argument("--timeout", type=int, default=60, help="of a silent session, in seconds")
    parser.add_argument("--groups", default="239.255.77.1", help="the first multicast group")
    parser.add_argument("--mtu", type=int, default=1400)
    return parser.parse_args()


def video(options):
    width, height = options.size.split("x")
    source = (
        "videotestsrc is-live=true pattern=smpte horizontal-speed=3 ! "
        f"video/x-raw,format=I420,width={width},height={height},framerate={options.rate}/1 ! "
    )
    sets = "config-interval=-1" if options.in_band else "config-interval=0"
    if options.codec == "jpeg":
        return source + f"jpegenc ! rtpjpegpay name=pay0 mtu={options.mtu}"
    if options.codec == "h264":
        slices = "sliced-threads=true threads=3" if options.slices else "threads=1"
        tune = "" if options.b_frames else "tune=zerolatency"
        return source + (
            f"x264enc speed-preset=ultrafast {tune} {slices} key-int-max={options.keyframes} bframes={options.b_frames} ! "
            f"video/x-h264,profile=main ! rtph264pay name=pay0 pt=96 {sets} mtu={options.mtu}"
        )
    return source + (
        f"x265enc speed-preset=ultrafast tune=zerolatency key-int-max={options.keyframes} "
        f"option-string=pools=1:frame-threads=1:bframes=0:log-level=none ! rtph265pay name=pay0 pt=96 {sets} mtu={options.mtu}"
    )


def launch(options):
    branches = video(options)
    if options.sound != "none":
        branches += f" audiotestsrc is-live=true samplesperbuffer=480 ! {SOUNDS[options.sound]}"
    return f"( {branches} )"


def allow(auth, options, user):
    """Lets the holder of `user`, `NAME:PASSWORD`, in, and nobody who was let in before."""
    name, _, password = user.partition(":")
    token = Server.RTSPToken()
    token.set_string("media.factory.role", "user")
    if options.auth == "basic":
        auth.add_basic(Server.RTSPAuth.make_basic(name, password), token)
    else:
        auth.add_digest(name, password, token)


def guard(server, factory, options):
    """An authority for the server, if it needs one: for its password, or for TLS."""
    if not (options.user or options.tls):
        return
    auth = Server.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC if options.auth == "basic" else GstRtsp.RTSPAuthMethod.DIGEST)
    if options.tls:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.tls))
    permissions = Server.RTSPPermissions()
    for right in ["access", "construct"]:
        permissions.add_permission_for_role("user", f"media.factory.{right}", True)
    factory.set_permissions(permissions)
    if options.user:
        allow(auth, options, options.user)
    else:
        token = Server.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.set_default_token(token)
    server.set_auth(auth)


def say(line):
    print(line, flush=True)


def without_parameter_sets(client, context, message):
    """Exchanges the description in an answer for one without the parameter sets."""
    known, body = message.get_body()
    text = bytes(body).decode() if body else ""
    if "sprop" not in text:
        return
    lines = []
    for line in text.split("\r\n"):
        if line.startswith("a=fmtp:"):
            payload, _, values = line.partition(" ")
            kept = [value for value in values.split(";") if not value.strip().startswith("sprop")]
            line = payload + " " + ";".join(kept)
        lines.append(line)
    message.set_body("\r\n".join(lines).encode())


def offer_basic(client, context, message):
    """Puts a second way before the one that an answer offers."""
    field = GstRtsp.RTSPHeaderField.WWW_AUTHENTICATE
    known, digest = message.get_header(field, 0)
    if known == GstRtsp.RTSPResult.OK and digest.startswith("Digest"):
        message.remove_header(field, -1)
        message.add_header(field, 'Basic realm="camera"')
        message.add_header(field, digest)


def path_of(context):
    return context.uri.abspath if context.uri else "*"


def greet(server, client, options):
    for method in METHODS:
        client.connect(f"{method}-request", lambda _, context, method=method: say(f"{method} {path_of(context)}"))
    client.connect("closed", lambda _: say("closed"))
    client.connect("new-session", lambda _, session: session.set_timeout(options.timeout))
    if options.in_band:
        client.connect("send-message", without_parameter_sets)
    if options.auth == "both":
        client.connect("send-message", offer_basic)


def main():
    options = arguments()
    Gst.init(None)
    server = Server.RTSPServer()
    server.set_address(options.address)
    server.set_service(options.port)
    factory = Server.RTSPMediaFactory()
    factory.set_launch(launch(options))
    factory.set_shared(True)
    wanted = GstRtsp.RTSPLowerTrans(0)
    for name in options.transports.split(","):
        wanted |= TRANSPORTS[name]
    factory.set_protocols(wanted)
    if "mcast" in options.transports:
        pool = Server.RTSPAddressPool()
        pool.add_range(options.groups, options.groups, 25000, 25010, 1)
        factory.set_address_pool(pool)
    guard(server, factory, options)
    server.get_mount_points().add_factory(options.path, factory)
    server.connect("client-connected", greet, options)
    loop = GLib.MainLoop()

    def close():
        server.client_filter(lambda *_: Server.RTSPFilterResult.REMOVE)

    def obey(channel, condition):
        line = sys.stdin.readline()
        if line.strip() in ("", "end"):
            loop.quit()
            return False
        word, _, rest = line.strip().partition(" ")
        if word == "password":
            options.user = options.user.partition(":")[0] + ":" + rest
            guard(server, factory, options)
        close()
        say(word)
        return True

    if server.attach(None) == 0:
        sys.exit(f"cannot listen at {options.address}:{options.port}")
    GLib.timeout_add_seconds(1, lambda: server.get_session_pool().cleanup() >= 0)
    GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP, obey)
    say(f"listening {server.get_bound_port()}")
    loop.run()


main()
