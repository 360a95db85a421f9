# shellcheck shell=sh
# shellcheck disable=SC2043  # a hole for many words
# Observes a host and changes nothing. Sections begin with a marker line that holds the nonce.

m='==dsr:@NONCE@'
s() { printf '\n%s:%s==\n' "$m" "$1"; }
s begin
s undo # of steps that nobody proved; while the host is at it, the rest waits
for b in @PLACES@; do
  [ -d "$b/dsrwizard" ] || continue
  for r in "$b"/dsrwizard/run.*; do
    i=0; while [ -e "$r/fired" ] && [ "$i" -lt 5 ]; do sleep 1; i=$((i + 1)); done
    if [ -e "$r/fired" ]; then echo going
    elif [ -e "$r/armed" ]; then
      read -r t <"$r/until"; read -r u _ </proc/uptime; echo "armed $t ${u%%.*}"
    fi
  done
  cat "$b/dsrwizard/reverted" 2>/dev/null
  break
done
s texts
grep -s . /proc/sys/kernel/hostname /proc/sys/kernel/osrelease /proc/sys/kernel/random/boot_id /etc/machine-id \
  /etc/os-release /etc/network/interfaces /proc/sys/net/ipv4/conf/*/arp_ignore /proc/sys/net/ipv4/conf/*/arp_announce \
  /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/*/keep_addr_on_down
s root; if [ -w /proc/sys/net/ipv4/conf/all/arp_ignore ]; then echo yes; else echo no; fi
s systemd; if [ -d /run/systemd/system ]; then echo yes; else echo no; fi
s networkmanager; if [ -d /run/NetworkManager/devices ]; then echo yes; else echo no; fi
s addr; ip -j -d addr show
@WAYS@
@WHOLE@
@LOOK_AT_FILES@
s end
