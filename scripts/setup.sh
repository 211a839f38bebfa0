#!/usr/bin/env bash
# Installs what is missing and nothing else; does nothing, in well under a second, when all is there.
#
#   scripts/setup.sh run    what the build needs: a C compiler, cmake, nasm, FFmpeg's libraries, Rust
#   scripts/setup.sh lint   the same, and what checks the page's types
#   scripts/setup.sh fuzz   the same as run, and a C++ compiler for the fuzzer's own library
#   scripts/setup.sh test   the same, and the peers of the tests: FFmpeg, GStreamer, OpenCV, Chromium, qemu and a kernel
#   scripts/setup.sh bench  the same as test, and Python
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

what=${1:-run}
case $what in
  run | lint | fuzz | test | bench) ;;
  *) fail "usage: scripts/setup.sh run|lint|fuzz|test|bench" ;;
esac

manager=none
for candidate in apt-get dnf pacman brew; do
  if have "$candidate"; then manager=$candidate; break; fi
done
debian_family=$(. /etc/os-release 2>/dev/null && echo "${ID:-}" || true)

missing_packages=()
missing_names=()

# want NAME CHECK APT DNF PACMAN BREW: when the command CHECK fails, the manager's packages are installed
# ("-" where that manager has none).
want() {
  if eval "$2" >/dev/null 2>&1; then return; fi
  local packages=-
  case $manager in
    apt-get) packages=$3 ;;
    dnf) packages=$4 ;;
    pacman) packages=$5 ;;
    brew) packages=$6 ;;
  esac
  missing_names+=("$1")
  if [ "$packages" = - ]; then
    [ "$manager" = none ] || fail "$1 is missing and $manager has no package for it: install it, then run this again"
  else
    # shellcheck disable=SC2206 # several packages in one word list
    missing_packages+=($packages)
  fi
}

want_build_tools() {
  if [ "$(uname -s)" = Darwin ] && ! have cc; then fail "a C compiler is missing: run \`xcode-select --install\`, then this again"; fi
  want "a C compiler" 'have cc' "gcc libc6-dev" gcc gcc -
  if [ "$(uname -s)" = Linux ]; then
    want "the C library's headers" '[ -e /usr/include/stdio.h ]' libc6-dev glibc-devel glibc -
  fi
  want cmake 'have cmake' cmake cmake cmake cmake
  want nasm 'have nasm' nasm nasm nasm nasm
  want curl 'have curl' "curl ca-certificates" curl curl curl
  want pkg-config 'have pkg-config' pkg-config pkgconf-pkg-config pkgconf pkgconf
  want "FFmpeg's libraries" 'pkg-config --exists libavcodec libavutil libswscale' \
    "libavcodec-dev libavutil-dev libswscale-dev" "libavcodec-free-devel libavutil-free-devel libswscale-free-devel" ffmpeg ffmpeg
}

want_page_tools() {
  want "Node.js" 'have node' nodejs nodejs nodejs node
  want npm 'have npm' npm nodejs-npm npm node
}

want_test_peers() {
  want ffmpeg 'have ffmpeg' ffmpeg ffmpeg-free ffmpeg ffmpeg
  want "GStreamer's tools" 'have gst-launch-1.0' gstreamer1.0-tools gstreamer1 gstreamer gstreamer
  want "GStreamer's base plugins" 'gst-inspect-1.0 --exists videotestsrc' gstreamer1.0-plugins-base gstreamer1-plugins-base gst-plugins-base gstreamer
  want "GStreamer's good plugins" 'gst-inspect-1.0 --exists jpegenc' gstreamer1.0-plugins-good gstreamer1-plugins-good gst-plugins-good gstreamer
  want "GStreamer's bad plugins" 'gst-inspect-1.0 --exists jpegparse' gstreamer1.0-plugins-bad gstreamer1-plugins-bad-free gst-plugins-bad gstreamer
  want "GStreamer's RTSP sender" 'gst-inspect-1.0 --exists rtspclientsink' gstreamer1.0-rtsp gstreamer1-rtsp-server gst-rtsp-server gstreamer
  want "GStreamer's ugly plugins" 'gst-inspect-1.0 --exists x264enc' gstreamer1.0-plugins-ugly gstreamer1-plugins-ugly gst-plugins-ugly gstreamer
  want "GStreamer's FFmpeg plugins" 'gst-inspect-1.0 --exists avdec_h265' gstreamer1.0-libav gstreamer1-plugin-libav gst-libav gstreamer
  want "GStreamer's RTSP server for Python" 'python_finds "import gi; gi.require_version(\"GstRtspServer\", \"1.0\")"' \
    "python3-gi gir1.2-gst-rtsp-server-1.0 glib-networking" "python3-gobject gstreamer1-rtsp-server glib-networking" \
    "python-gobject gst-rtsp-server glib-networking" "pygobject3 gstreamer glib-networking"
  want OpenSSL 'have openssl' openssl openssl openssl openssl
  want "libjpeg-turbo's programs" 'have cjpeg' libjpeg-turbo-progs libjpeg-turbo-utils libjpeg-turbo jpeg-turbo
  want tshark 'have tshark' tshark wireshark-cli wireshark-cli wireshark
  want "OpenCV for Python" 'python_finds "import sys, importlib.util; sys.exit(importlib.util.find_spec(\"cv2\") is None)"' python3-opencv python3-opencv python-opencv opencv
  [ "$manager" = brew ] || want VLC 'have vlc' 'vlc-bin vlc-plugin-base' vlc vlc -
  # Ubuntu's browsers are snaps, which a test cannot drive: install_browser fetches a Chromium there.
  if [ "$debian_family" != ubuntu ] && [ "$manager" != brew ]; then
    want Chromium 'browser_found' chromium chromium chromium -
    want Firefox 'have firefox-esr || have firefox' firefox-esr firefox firefox -
  fi
  [ "$(uname -s)" = Linux ] || return 0
  want strace 'have strace' strace strace strace -
  want Xvfb 'have Xvfb' xvfb xorg-x11-server-Xvfb xorg-server-xvfb -
  want ip 'have ip || [ -x /sbin/ip ]' iproute2 iproute iproute2 -
  want unshare 'have unshare' util-linux util-linux util-linux -
  if [ "$(uname -m)" != x86_64 ]; then
    say "the tests of the camera driver and of bad networks boot an x86-64 kernel and are left out on $(uname -m)"
    return 0
  fi
  want "qemu" 'have qemu-system-x86_64' qemu-system-x86 qemu-system-x86-core qemu-system-x86 -
  want "a kernel with the vivid camera driver" 'kernel_found' "$(kernel_package)" kernel-modules-extra linux -
  want cpio 'have cpio' cpio cpio cpio -
  want "a static busybox" 'busybox_found' busybox-static busybox busybox -
  want tc 'have tc || [ -x /sbin/tc ]' iproute2 iproute-tc iproute2 -
  want v4l2-ctl 'have v4l2-ctl' v4l-utils v4l-utils v4l-utils -
  want kmod 'have modprobe || [ -x /sbin/modprobe ]' kmod kmod kmod -
  want xz 'have xz' xz-utils xz xz -
}

# Debian's packages for Python are for its own Python, which need not be the first on the PATH.
python_finds() { # COMMANDS that fail without what is looked for
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -c "$1"; then return; fi
  done
  return 1
}
browser_found() { have chromium || have google-chrome || [ -n "${CHROMIUM:-}" ]; }
kernel_found() { compgen -G '/boot/vmlinuz-*' && compgen -G '/lib/modules/*/kernel/drivers/media/test-drivers/vivid/vivid.ko*'; }
busybox_found() { [ -x /bin/busybox ] || [ -x /usr/bin/busybox ]; }
kernel_package() { if [ "$debian_family" = ubuntu ]; then echo linux-image-generic; else echo linux-image-amd64; fi; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    fail "not root and no sudo; as root run: $*"
  fi
}

install_missing() {
  [ ${#missing_names[@]} -gt 0 ] || return 0
  say "missing: $(printf '%s, ' "${missing_names[@]}" | sed 's/, $//')"
  local hint="install these by hand, then run this again: ${missing_packages[*]:-${missing_names[*]}}"
  case $manager in
    apt-get)
      as_root apt-get update -q || fail "apt-get update failed: look at the network and /etc/apt/sources.list, or" "$hint"
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing_packages[@]}" || fail "$hint"
      ;;
    dnf) as_root dnf install -y "${missing_packages[@]}" || fail "$hint" ;;
    pacman) as_root pacman -S --needed --noconfirm "${missing_packages[@]}" || fail "$hint" ;;
    brew) brew install "${missing_packages[@]}" || fail "$hint" ;;
    none) fail "no apt-get, dnf, pacman or brew here: install ${missing_names[*]}, then run this again" ;;
  esac
}

required_rust() { sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml | head -n 1; }

# at_least WANTED FOUND: compares dotted versions without `sort -V`, which macOS has not always had.
at_least() {
  awk -v wanted="$1" -v found="$2" 'BEGIN {
    split(wanted, w, "."); split(found, f, ".")
    for (i = 1; i <= 3; i++) { if (f[i] + 0 > w[i] + 0) exit 0; if (f[i] + 0 < w[i] + 0) exit 1 }
    exit 0 }'
}

rust_version() { rustc --version 2>/dev/null | awk '{ sub(/-.*/, "", $2); print $2 }'; }

install_rust() {
  local wanted found
  wanted=$(required_rust)
  export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  found=$(rust_version)
  if have cargo && [ -n "$found" ] && at_least "$wanted" "$found"; then return; fi
  if have rustup; then
    say "Rust ${found:-none} is older than $wanted: updating the stable toolchain"
    rustup toolchain install stable --profile minimal -c rustfmt -c clippy || fail "rustup could not install Rust: look at the network, then run this again"
  else
    say "Rust ${found:-is missing,} $wanted is needed: installing it for this user by https://rustup.rs"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --no-modify-path --profile minimal -c rustfmt -c clippy ||
      fail "rustup could not be installed: follow https://rustup.rs, then run this again"
    say "for cargo in your own shell: . \"${CARGO_HOME:-$HOME/.cargo}/env\""
  fi
  found=$(rust_version)
  at_least "$wanted" "${found:-0}" || fail "Rust ${found:-none} is still in use and $wanted is needed: run \`rustup default stable\`, then this again"
}

install_page_packages() {
  local node_major
  node_major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
  [ "$node_major" -ge 18 ] || fail "Node.js 18 or newer is needed and $(node --version) is here: install it from https://nodejs.org, then run this again"
  # npm writes its own lock copy last, so a copy as new as the lock means a finished install.
  local done_mark=tests/node_modules/.package-lock.json
  if [ -e "$done_mark" ] && [ ! tests/package-lock.json -nt "$done_mark" ]; then return; fi
  say "installing the tests' npm packages"
  (cd tests && npm ci --no-audit --no-fund --loglevel=error) || fail "npm ci failed in tests/: look at the network, then run this again"
}

install_browser() {
  if browser_found || compgen -G "${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}/chromium*" >/dev/null; then return; fi
  [ "$(uname -s)" = Darwin ] && compgen -G "$HOME/Library/Caches/ms-playwright/chromium*" >/dev/null && return
  say "fetching a Chromium for the browser tests"
  (cd tests && npx playwright-core install --with-deps chromium) ||
    fail "no Chromium could be fetched: install one and name it by CHROMIUM=/path/to/chromium, then run this again"
}

want_build_tools
case $what in
  fuzz) want "a C++ compiler" 'have c++' g++ gcc-c++ gcc - ;;
  lint) want_page_tools ;;
  test | bench)
    want_page_tools
    want_test_peers
    want "a C++ compiler" 'have c++' g++ gcc-c++ gcc -
    if [ "$what" = bench ]; then
      want Python 'have python3' python3 python3 python python
      want jpegtran 'have jpegtran' libjpeg-turbo-progs libjpeg-turbo-utils libjpeg-turbo jpeg-turbo
    fi
    ;;
esac
install_missing
install_rust
case $what in
  lint) install_page_packages ;;
  test | bench)
    install_page_packages
    install_browser
    ;;
esac
