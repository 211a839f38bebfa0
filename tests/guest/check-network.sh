# Runs inside the guest of boot.sh: RTSP by UDP from one server to another through a network of the kernel's that loses, delays and
# mixes up packets (netem), and is mended. Prints a line PASS or FAIL for each thing that is checked. /bin/film.h264 is the camera.

. /lib.sh

sender=http://127.0.0.1:8081
receiver=http://127.0.0.1:8080

cat >/tmp/sender.toml <<'END'
[listen]
http = "127.0.0.1:8081"
rtsp = "127.0.0.1:8555"
[cameras]
cam = "file:/bin/film.h264?loop=1&fps=25"
END
cat >/tmp/receiver.toml <<'END'
[listen]
http = "127.0.0.1:8080"
rtsp = "off"
[cameras.cam]
source = "rtsp://127.0.0.1:8555/cam"
transport = "udp"
END

number() { # ADDRESS EXPRESSION: the number behind what matches
    found=$(wget -q -O - "$1" 2>/dev/null | sed -n "s/.*$2\([0-9][0-9]*\).*/\1/p")
    echo "${found:-0}"
}
lost() { number $receiver/api/v1/cameras/cam '"network":{[^}]*"lost":'; }
frames() { number $receiver/api/v1/cameras/cam '"frames":'; }
reported() { number $sender/stats '"tracks":\[{"track":0,[^}]*"lost":'; }
more() { # WHAT THAN: it is more by now
    [ "$($1)" -gt "$2" ]
}
whole() { # at its pace again, with nothing lost for three seconds
    before=$(lost)
    shown=$(frames)
    sleep 3
    [ "$(lost)" = "$before" ] && [ "$(frames)" -ge $((shown + 60)) ]
}
ready() { wget -q -O - $1/readyz >/dev/null 2>&1; }

# The shell would take its own `tc` for it.
# Packets as they are on a wire: the kernel cuts what is longer before it is lost.
ip link set lo mtu 1500
/bin/tc qdisc add dev lo root handle 1: tbf rate 200mbit burst 2k latency 100ms
/bin/tc qdisc add dev lo parent 1:1 handle 2: netem limit 10000

ocelli serve --config /tmp/sender.toml >/tmp/log 2>&1 &
check sender 30 ready $sender
ocelli serve --config /tmp/receiver.toml >>/tmp/log 2>&1 &
check receiver 30 ready $receiver
check whole 30 whole

/bin/tc qdisc change dev lo parent 1:1 handle 2: netem limit 10000 delay 10ms 3ms loss 2% reorder 25% 50% || fail netem "refused"
check loses 40 more lost $(($(lost) + 50))
check shows 40 more frames $(($(frames) + 75))
check reports 20 more reported 20
/bin/tc qdisc change dev lo parent 1:1 handle 2: netem limit 10000
check recovers 40 whole
restarts=$(number $receiver/api/v1/cameras/cam '"restarts":')
if [ "$restarts" = 0 ]; then pass stays; else fail stays "$restarts restarts"; fi
viewer=$(number $sender/stats '"viewers":\[{"id":')
if [ "$viewer" = 1 ]; then pass session; else fail session "it is number $viewer"; fi
