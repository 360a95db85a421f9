# shellcheck shell=sh
# Which way replies from a VIP take to clients: one line `way` for each VIP and client. A rule may ask for protocol and
# port; an old `ip` cannot, and says of no way only in the last try why there is none, and what refuses. A VIP in a VRF
# has its way in that one. For a close look, whom a way leads to is asked for its MAC, so that its neighbour entry is of
# this moment.

vrfs=$(grep -ls '^DEVTYPE=vrf' /sys/class/net/*/uevent)
close=@CLOSE@
hops=
pings=
ask() { # FAMILY CLIENT ROUTE
  d=; g=
  case $3 in *'"dev":"'*) d=${3##*'"dev":"'}; d=${d%%'"'*};; esac
  case $3 in *'"gateway":"'*) g=${3##*'"gateway":"'}; g=${g%%'"'*};; esac
  case $close$d in no*|yes|yeslo|yes-*) return;; esac
  g=${g:-$2}
  hops="${hops:+$hops
}$g dev $d "
  command -v ping >/dev/null || return 0
  ping "$1" -n -c 1 -W 1 -I "$d" "$g" </dev/null >/dev/null 2>&1 &
  pings="$pings $!"
}
way() {
  s "way:$2>$3"
  if w=$(ip -j "$1" route get "$3" from "$2" ipproto "$4" sport "$5" dport 40000 2>/dev/null); then
    printf '%s\n' "$w"
    ask "$1" "$3" "$w"
    return
  fi
  for v in $vrfs; do
    v=${v%/uevent}
    ip -j "$1" route get "$3" from "$2" oif "${v##*/}" 2>/dev/null && return
  done
  ip -j "$1" route get "$3" from "$2" 2>&1 && return
  s "off:$2>$3"; { ip "$1" rule; ip "$1" route show table all match "$3"; } 2>/dev/null | head -n 200
}
@ASKED@
