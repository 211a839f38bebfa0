#!/bin/sh
# Boots Debian's kernel with some of its modules under plain emulation, and runs a script inside.
#
#   MODULES="vivid" tests/guest/boot.sh SCRIPT PROGRAM...
#
# SCRIPT runs as /check.sh with busybox as its shell, lib.sh beside it, and every tool it needs; each PROGRAM is in the
# guest's /bin with its shared libraries, and so is each other file that is named. What the guest prints comes out of
# standard output; the guest is stopped after 170 s.
# Needs: qemu-system-x86, linux-image-amd64, busybox-static, cpio, kmod.
set -eu

script=$1
shift
: "${MODULES:?which modules of the kernel are to be there}"

kernel=
for modules in $(ls -d /lib/modules/* | sort -V); do
    version=${modules##*/}
    if [ -r "/boot/vmlinuz-$version" ] && modprobe -S "$version" -a --show-depends $MODULES >/dev/null 2>&1; then
        kernel=$version
    fi
done
if [ -z "$kernel" ]; then
    echo "no readable kernel in /boot has these modules ($MODULES): install linux-image-amd64" >&2
    exit 1
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/files/bin" "$root/files/modules" "$root/files/dev" "$root/files/proc" "$root/files/sys" \
    "$root/files/tmp"
cd "$root/files"

cp "$(command -v busybox)" bin/busybox
case $script in /*) ;; *) script=$OLDPWD/$script ;; esac
cp "$script" check.sh
cp "${script%/*}/lib.sh" lib.sh

for program in "$@"; do
    case $program in /*) ;; *) program=$OLDPWD/$program ;; esac
    cp "$program" bin/
    strip "bin/${program##*/}" 2>/dev/null || true
    ldd "$program" 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | while read -r library; do
        mkdir -p ".${library%/*}"
        cp -L "$library" ".$library"
    done
done

# In the order in which they have to be loaded.
modprobe -S "$kernel" -a --show-depends $MODULES | sed -n 's/^insmod \([^ ]*\).*/\1/p' | while read -r module; do
    name=${module##*/}
    case $name in
    *.xz) xz -dc "$module" >"modules/${name%.xz}" ;;
    *.zst) zstd -dcq "$module" >"modules/${name%.zst}" ;;
    *) cp "$module" modules/ ;;
    esac
    name=${name%.xz}
    echo "${name%.zst}" >>modules/order
done

cat >init <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
echo 1 >/proc/sys/kernel/printk
ip link set lo up
while read -r module; do
    case $module in
    vivid.ko) insmod /modules/$module n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0x0,0x0 ;;
    *) insmod /modules/$module ;;
    esac
done </modules/order
# The firmware leaves the cursor in the middle of a line of control codes.
echo
sh /check.sh
echo "guest: done"
sync
poweroff -f
INIT
chmod +x init
find . | cpio -o -H newc --quiet | gzip -1 >"$root/initramfs"

cd "$root"
timeout 170 qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -m 512 -nographic -no-reboot -nic none \
    -kernel "/boot/vmlinuz-$kernel" -initrd "$root/initramfs" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off" </dev/null | tr -d '\r'
