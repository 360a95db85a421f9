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
packages=$packages,ifupdown,network-manager,netplan.io,ipvsadm,python3,iptables,nftables
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
    [ -s "$file" ] && sources+=("$file")
done
mmdebstrap -q --mode=fakechroot --variant=minbase --include="$packages" --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    "$VERSION_CODENAME" "$work/root.tar" "${sources[@]}"
# shellcheck disable=SC2016 # it is the inner shell that puts in the values
fakeroot bash -eu -c '
    work=$1 inside=$2 site=$3 out=$4 r=$1/root
    mkdir "$r"
    tar -xf "$work/root.tar" -C "$r"
    rm "$work/root.tar"
    mkdir -p "$r"/lib/modules "$r"/lab/host "$r"/root/.ssh "$r"/opt/dsrwizard/bin "$r"/opt/dsrwizard/lib
    cp -a /usr/lib/uml/modules/* "$r"/lib/modules/
    depmod -b "$r" "$(basename /usr/lib/uml/modules/*)"
    cp "$inside"/{init,agent} "$r"/lab/
    chmod +x "$r"/lab/{init,agent}
    cp "$inside"/*.service "$r"/etc/systemd/system/
    version=$(basename "$(readlink "$r"/usr/bin/python3)")
    mkdir -p "$r/opt/dsrwizard/lib/$version"
    cp -R "$site" "$r/opt/dsrwizard/lib/$version/site-packages"
    ln -s /usr/bin/python3 "$r"/opt/dsrwizard/bin/python3
    printf "home = /usr/bin\ninclude-system-site-packages = false\n" >"$r"/opt/dsrwizard/pyvenv.cfg
    printf "#!/opt/dsrwizard/bin/python3\nfrom dsrwizard.__main__ import main\nmain()\n" >"$r"/opt/dsrwizard/bin/dsrwizard
    chmod +x "$r"/opt/dsrwizard/bin/dsrwizard
    : >"$r"/etc/fstab
    : >"$r"/etc/machine-id
    rm -f "$r"/etc/ssh/ssh_host_* "$r"/var/cache/apt/archives/*.deb
    rm -rf "$r"/var/lib/apt/lists/*
    s() { systemctl -q --root="$r" "$@"; }
    s enable lab-agent lab-serve
    s disable systemd-networkd-wait-online NetworkManager-wait-online NetworkManager
    s mask getty@tty1.service serial-getty@tty0.service console-getty.service apt-daily.timer apt-daily-upgrade.timer \
        dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
    mkfs.ext4 -q -m 0 -d "$r" "$work/image" $(($(du -sm "$r" | cut -f1) + 250))M
    mv "$work/image" "$out"
' - "$work" "$inside" "$site" "$out"
