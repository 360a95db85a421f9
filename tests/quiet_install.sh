#!/bin/sh
# quiet_install.sh PACKAGE…     installs Debian packages, and nothing of them runs on this machine afterwards
#
# keepalived and BIRD are for the lab's directors, prometheus for its promtool; none is for this machine. Debian starts a
# daemon as it is installed, and again at each boot. While this script installs, policy-rc.d (invoke-rc.d(8),
# deb-systemd-invoke(1p)) forbids the first; the units that came with the packages are then disabled, which the package
# keeps at its next upgrade.
set -eu
policy=/usr/sbin/policy-rc.d
units() { find /lib/systemd/system /usr/lib/systemd/system -maxdepth 1 -name '*.service' -printf '%f\n' 2>/dev/null | sort -u; }

before=$(mktemp)
trap 'rm -f "$before"' EXIT
units >"$before"
if [ ! -e $policy ]; then  # one that is there already is the operator's, and stays
    trap 'rm -f "$before" $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
command -v systemctl >/dev/null || exit 0
for unit in $(units | comm -13 "$before" -); do
    case $unit in
    keepalived* | bird* | prometheus*) systemctl disable -q "$unit" ;;
    esac
done
