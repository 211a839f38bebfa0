# Runs inside the guest of boot.sh: the v4l2: source on a kernel's own camera driver. Prints a line PASS or FAIL for each
# thing that is checked, and some pictures as `JPEG name base64`, for whoever drives it to look at.

port=8080
base=http://127.0.0.1:$port

. /lib.sh

serve() { # NAME=SOURCE...
    set -- $(for camera; do echo "--camera $camera"; done)
    ocelli serve --port $port --address 127.0.0.1 "$@" >/tmp/log 2>&1 &
    server=$!
}
end() { # NAME: asks the server to stop, which it has to do in 5 s with status 0
    kill -TERM $server
    stopped=$(uptime_seconds)
    wait $server
    status=$?
    [ $status = 0 ] && [ $(($(uptime_seconds) - stopped)) -le 5 ] && return
    fail "$1" "the server ended with status $status after $(($(uptime_seconds) - stopped)) s"
}

fetch() { wget -q -O "$2" "$base$1" 2>/dev/null; }
camera() { fetch /api/v1/cameras/cam /tmp/camera && cat /tmp/camera; }
ready() { camera | grep -q '"state":"ready"'; }
says() { camera | grep -q "\"cause\":\"[^\"]*$1"; }
notes() { camera | grep -q "\"note\":\"[^\"]*$1"; }
lost() { camera | grep -q '"state":"lost"' && says "$1"; }
logged() { grep -q "$1" /tmp/log; }
snapshot() { # WIDTH HEIGHT FILE: a whole baseline JPEG of this size
    fetch /cameras/cam/snapshot "$3" && is_jpeg "$@"
}
notice() { # WIDTH HEIGHT FILE: the same for a lost camera, whose picture comes with status 503
    printf 'GET /cameras/cam/snapshot HTTP/1.0\r\n\r\n' | nc 127.0.0.1 $port >/tmp/response
    head -n 1 /tmp/response | grep -q ' 503 ' || return 1
    sed '1,/^\r*$/d' /tmp/response >"$3"
    is_jpeg "$@"
}
is_jpeg() { # WIDTH HEIGHT FILE
    case $(hexdump -v -e '1/1 "%02x"' "$3") in
    ffd8*"$(printf 'ffc0001108%04x%04x' "$2" "$1")"*ffd9) return 0 ;;
    esac
    return 1
}
picture() { ready && snapshot "$@"; }
changes() { # the picture moves on
    snapshot 320 180 /tmp/a && snapshot 320 180 /tmp/b && ! cmp -s /tmp/a /tmp/b
}
grows() { # FILE beyond BYTES
    [ -e "$1" ] && [ "$(wc -c <"$1")" -gt "$2" ]
}
video0=v4l2:///dev/video0?width=320\&height=180\&fps=30

ocelli devices >/tmp/devices
for line in '^/dev/video0  vivid (vivid, ' '^  YUYV  YUYV 4:2:2' '^    1920x1080 .*pictures a second' '^  ctrl.brightness = 128  0 to 255'; do
    if ! grep -q "$line" /tmp/devices; then fail devices "no line like $line"; fi
done
pass devices

for format in yuyv uyvy nv12 yu12 rgb24; do
    serve "cam=$video0&format=$format&ctrl.osd_text_mode=2"
    check "format-$format" 10 picture 320 180 /tmp/picture
    echo "JPEG $format $(base64 -w0 /tmp/picture)"
    end "format-$format"
done

# A camera that moves by itself, so that no two pictures are alike.
serve "cam=$video0&ctrl.osd_text_mode=0&ctrl.horizontal_movement=6&ctrl.brightness=200"
check moves 10 changes
value=$(v4l2-ctl -d /dev/video0 -C brightness)
if [ "$value" = "brightness: 200" ]; then pass controls; else fail controls "found $value"; fi
# The driver stamps pictures with the monotonic clock; what comes out is the wall clock, of a moment ago.
stamp=$(wget -S -q -O /dev/null $base/cameras/cam/snapshot 2>&1 | sed -n 's/.*[Xx]-[Tt]imestamp: *\([0-9]*\).*/\1/p')
age=$(($(date +%s) - ${stamp:-0}))
if [ $age -ge 0 ] && [ $age -le 2 ]; then pass timestamp; else fail timestamp "$age s old"; fi
wget -q -O /tmp/stream $base/cameras/cam/stream &
viewer=$!
check stream 10 grows /tmp/stream 500000

# The device is reported gone to all who have it open, and is there again once they have closed it.
v4l2-ctl -d /dev/video0 -c disconnect=1
check disconnect-cause 5 says "the camera /dev/video0 was unplugged"
check disconnect-recovers 20 changes

# A streaming error that only closing the device cures.
v4l2-ctl -d /dev/video0 -c inject_fatal_streaming_error=1
check fatal-error-recovers 20 changes

# Really unplugged: the node goes as well.
echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
check unplug-lost 5 lost "/dev/video0"
if [ -e /dev/video0 ]; then fail unplug-node "still there"; else pass unplug-node; fi
check unplug-notice 5 notice 320 180 /tmp/notice
echo "JPEG notice $(base64 -w0 /tmp/notice)"
check unplug-missing 20 says "there is no /dev/video0"
echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
check replug 35 changes
before=$(wc -c </tmp/stream)
check viewer-stays 10 grows /tmp/stream $((before + 200000))
kill $viewer
open=$(ls -l /proc/$server/fd | grep -c /dev/video)
if [ "$open" = 1 ]; then pass closed; else fail closed "$open descriptors of the camera are open"; fi
end stop && pass stop

serve "cam=v4l2:///dev/video0?width=641&height=487&fps=24"
check size-differs 10 picture 640 480 /tmp/picture
check size-said 5 logged "asked for 641x487, .*got 640x480"
check size-noted 5 notes "asked for 641x487, .*got 640x480"
end size-differs

serve "cam=$video0&ctrl.brightnes=1"
check control-mistake 10 says "did you mean .brightness"
end control-mistake
serve "cam=$video0&ctrl.brightness=900"
check control-range 10 says "expected 0 to 255"
end control-range
serve "cam=$video0&format=mjpg"
check format-missing 10 says "offers no format MJPG"
end format-missing

v4l2-ctl -d /dev/video0 --stream-mmap --stream-to=/dev/null >/dev/null 2>&1 &
other=$!
within 5 sh -c "ls -l /proc/$other/fd | grep -q /dev/video0"
serve "cam=$video0"
check busy 10 says "another program is using /dev/video0"
kill $other
check busy-no-more 35 changes
end busy
