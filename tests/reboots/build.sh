#!/bin/bash
# The guests' image, as an ordinary user: build.sh OUT INSIDE SITE. OUT: the ext4 image; INSIDE: the folder of what runs
# in a guest; SITE: the product's dependencies for the guests' Python.
set -eu
out=$1 inside=$2 site=$3
# shellcheck source=/dev/null
. /etc/os-release
work=$(mktemp -d "$(dirname "$out")/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work PATH=$PATH:/usr/sbin:/sbin
packages=systemd,systemd-sysv,udev,dbus,openssh-server,iproute2,iputils-ping,iputils-arping,procps,kmod,sudo,netbase
packages=$packages,ifupdown,network-manager,netplan.io,ipvsadm,python3,iptables,nftables,keepalived,bird2
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
    [ -s "$file" ] && sources+=("$file")
done
cat >"$work/finish" <<'FINISH'
#!/bin/bash
# finish ROOT: what is ours goes into the root, and the root into the image
set -eu
r=$1
# fakechroot put its own folder before the target of every absolute link
find "$r" -type l -lname "$r/*" -printf '%l\t%p\n' | while IFS=$'\t' read -r target link; do
    ln -sfn "${target#"$r"}" "$link"
done
mkdir -p "$r"/lib/modules "$r"/lab/host "$r"/root/.ssh "$r"/opt/dsrwizard/bin "$r"/opt/dsrwizard/lib
# The kernel's modules but for drivers and file systems, which no guest uses
modules=$(basename /usr/lib/uml/modules/*)
mkdir "$r/lib/modules/$modules"
for part in kernel/net kernel/lib kernel/crypto kernel/arch kernel/drivers/net/dummy.ko modules.order modules.builtin modules.builtin.modinfo; do
    [ ! -e "/usr/lib/uml/modules/$modules/$part" ] || (cd "/usr/lib/uml/modules/$modules" && cp -a --parents "$part" "$r/lib/modules/$modules/")
done
depmod -b "$r" "$modules"
cp "$INSIDE"/init "$r"/lab/
chmod +x "$r"/lab/init
cp "$INSIDE"/*.service "$r"/etc/systemd/system/
version=$(basename "$(readlink "$r"/usr/bin/python3)")
mkdir -p "$r/opt/dsrwizard/lib/$version"
cp -R "$SITE" "$r/opt/dsrwizard/lib/$version/site-packages"
# Compiled here, whatever the files' times: a guest would take ten times as long
/usr/bin/python3 -m compileall -qf -j 2 --invalidation-mode unchecked-hash "$r/opt/dsrwizard/lib" >/dev/null || true
ln -s /usr/bin/python3 "$r"/opt/dsrwizard/bin/python3
printf "home = /usr/bin\ninclude-system-site-packages = false\n" >"$r"/opt/dsrwizard/pyvenv.cfg
printf "#!/opt/dsrwizard/bin/python3\nfrom dsrwizard.__main__ import main\nmain()\n" >"$r"/opt/dsrwizard/bin/dsrwizard
chmod +x "$r"/opt/dsrwizard/bin/dsrwizard
: >"$r"/etc/fstab
rm -f "$r"/etc/machine-id
: >"$r"/etc/machine-id
rm -f "$r"/etc/ssh/ssh_host_*
rm -rf "$r"/var/lib/apt/lists/* "$r"/var/cache/apt/*
s() { systemctl -q --root="$r" "$@"; }
s enable lab-agent lab-serve
s disable systemd-networkd-wait-online NetworkManager-wait-online NetworkManager keepalived bird
s mask getty@tty1.service serial-getty@tty0.service console-getty.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
# A third of a boot would be udev's look at terminals and memory devices that no check is about
mkdir "$r"/etc/systemd/system/systemd-udev-trigger.service.d
printf "[Service]\nExecStart=\nExecStart=-udevadm trigger --action=add --subsystem-match=net --subsystem-match=block\n" \
    >"$r"/etc/systemd/system/systemd-udev-trigger.service.d/few.conf
# What a first boot would bring up to date is so
touch "$r"/etc/.updated "$r"/var/.updated
mkfs.ext4 -q -m 0 -d "$r" "$IMAGE" $(($(du -sm "$r" | cut -f1) + 250))M >/dev/null
FINISH
chmod +x "$work/finish"
INSIDE=$inside SITE=$site IMAGE=$work/image \
    mmdebstrap --mode=fakechroot --variant=minbase --include="$packages" --format=null \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --customize-hook="$work/finish \"\$1\"" \
    "$VERSION_CODENAME" /dev/null "${sources[@]}"
mv "$work/image" "$out"
