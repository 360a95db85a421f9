# shellcheck shell=sh
# Looks for half-open TCP connections; its beginning. Few programs are started, for a busy host is slow to start them.
# A host without `ss` shows the same in /proc/net/tcp, state 03 (TCP_SYN_RECV in the kernel's tcp_states.h).

m='==dsr:@NONCE@'
s() { printf '\n%s:%s==\n' "$m" "$1"; }
counters() {
  s "$1"
  grep -hE '^(TcpExt|Icmp):|^Icmp6InDestUnreachs' /proc/net/netstat /proc/net/snmp /proc/net/snmp6 2>/dev/null
}
if command -v ss >/dev/null; then
  all() { ss -Hnt state syn-recv; }
else
  half='s/^ *[0-9]*: \([0-9A-F:]*\) \([0-9A-F:]*\) 03 .*/0 0 \1 \2/p'
  all() { sed -n "$half" /proc/net/tcp /proc/net/tcp6 2>/dev/null; }
fi
nap() { sleep @PAUSE@ 2>/dev/null || sleep 1; }
counters before
