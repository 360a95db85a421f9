# shellcheck shell=sh
# shellcheck disable=SC2043,SC2086  # holes for many words
# What a proof needs besides: neighbours, what the kernel takes for its own, what balances, and what the next boot sets.
# Of files with settings whole texts are read, but for lines that look like secrets.

# An entry that failed may be an old one: the kernel keeps it until somebody sends again. So the pings are waited for.
if [ "$hops" ] && ip neigh show nud failed 2>/dev/null | grep -qF "$hops"; then wait ${pings:-}; fi
# Who does not answer for an address is given up by the kernel after three seconds.
i=0
while [ "$hops" ] && [ $i -lt 8 ] && ip neigh show nud incomplete 2>/dev/null | grep -qF "$hops"; do
  i=$((i + 1)); sleep 0.5 2>/dev/null || sleep 1
done
s neighbours; ip neigh show 2>/dev/null | head -n @LINES@
s local; { ip -4 route show table local type local; ip -6 route show table local type local; } 2>/dev/null | head -n @LINES@
s balancer
if [ -r /proc/net/ip_vs ]; then echo read; head -n @LINES@ /proc/net/ip_vs
elif [ -e /proc/net/ip_vs ]; then echo unseen
else echo none; fi
s sysctl_files
set --
for f in /etc/sysctl.d/*.conf /run/sysctl.d/*.conf /usr/local/lib/sysctl.d/*.conf /usr/lib/sysctl.d/*.conf \
  /lib/sysctl.d/*.conf /etc/sysctl.conf; do
  if [ -e "$f" ]; then printf '%s\n' "$f"; set -- "$@" "$f"; fi
done
s sysctl_lines; [ $# = 0 ] || grep -sHE '^[[:space:]]*-?[[:space:]]*(net[./]ipv4[./]|[*?[])' "$@" | head -n @LINES@
s enabled
for f in /etc/systemd/system/*.wants/* /etc/systemd/system/*.requires/* /etc/rc[S2-5].d/S* /etc/runlevels/*/* \
  /run/systemd/netif; do
  if [ -e "$f" ]; then printf '%s\n' "$f"; fi
done
for f in /etc/rc.local /etc/rc.d/rc.local /sbin/ifup /usr/sbin/ifup; do
  if [ -x "$f" ]; then printf '%s\n' "$f"; fi
done
s boot
old=$IFS
IFS='
'
# shellcheck disable=SC2046  # a line is a word
set -- $(grep -rslE '@NAMES@' /etc/network /etc/systemd/network /run/systemd/network /usr/lib/systemd/network \
  /etc/systemd/system /etc/netplan /etc/NetworkManager/system-connections /etc/NetworkManager/dispatcher.d \
  /etc/sysconfig /etc/init.d /etc/rc.d /etc/local.d /etc/conf.d /etc/crontab /etc/cron.d /var/spool/cron \
  /etc/udev/rules.d /etc/tuned /usr/lib/tuned /usr/local/sbin /usr/local/bin/*.sh /root/*.sh 2>/dev/null | head -n 40)
IFS=$old
s boot_files
n=$#
for f in "$@" /etc/rc.local /etc/network/interfaces /etc/tuned/active_profile /etc/tuned/tuned-main.conf; do
  if [ -f "$f" ]; then printf '%s\n' "$f"; set -- "$@" "$f"; fi
done
shift "$n"
s boot_lines; [ $# = 0 ] || grep -sHiEv -m 300 'psk|pass|secret|private' "$@"
