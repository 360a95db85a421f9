# shellcheck shell=sh
# Which way replies from a VIP take to clients: one line `way` for each VIP and client. A rule may ask for protocol and
# port; an old `ip` cannot, and says of no way only in the last try why there is none, and what refuses. A VIP in a VRF
# has its way in that one.

vrfs=$(grep -ls '^DEVTYPE=vrf' /sys/class/net/*/uevent)
way() {
  s "way:$2>$3"
  ip -j "$1" route get "$3" from "$2" ipproto "$4" sport "$5" dport 40000 2>/dev/null && return
  for v in $vrfs; do
    v=${v%/uevent}
    ip -j "$1" route get "$3" from "$2" oif "${v##*/}" 2>/dev/null && return
  done
  ip -j "$1" route get "$3" from "$2" 2>&1 && return
  s "off:$2>$3"; { ip "$1" rule; ip "$1" route show table all match "$3"; } 2>/dev/null | head -n 200
}
@ASKED@
