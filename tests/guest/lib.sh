# What the checks inside the guest of boot.sh have in common. /tmp/log is the log of what is checked.

pass() { echo "PASS $1"; }
fail() {
    echo "FAIL $1: $2"
    sed 's/^/  log: /' /tmp/log | tail -n 12
}
check() { # NAME SECONDS COMMAND...: passes as soon as the command succeeds
    name=$1
    shift
    if within "$@"; then pass "$name"; else fail "$name" "not within $1 s: $*"; fi
}
within() { # SECONDS COMMAND...
    end=$(($(uptime_seconds) + $1))
    shift
    until "$@"; do
        [ "$(uptime_seconds)" -lt $end ] || return 1
        sleep 0.1
    done
}
uptime_seconds() { cut -d. -f1 /proc/uptime; }
