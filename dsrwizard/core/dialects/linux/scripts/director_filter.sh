# shellcheck shell=sh
# The packet filters of the director with every rule and its counters, NAT included. The tables of iptables-legacy are
# asked for only where the kernel has them already: looking loads nothing.

have() { command -v "$1" >/dev/null; }
most() { head -n @LINES@; }
s() { printf '\n==dsr:%s:%s==\n' '@NONCE@' "$1"; }
tables() {
  s "legacy$1"
  if [ -e "/proc/net/${2}_names" ] && [ ! -r "/proc/net/${2}_names" ]; then echo hidden
  elif grep -qs . "/proc/net/${2}_names"; then
    if have "$3-legacy-save"; then echo "$3-legacy"; "$3-legacy-save" -c
    elif have "$3-save" && ! "$3-save" -V 2>/dev/null | grep -q nf_tables; then echo "$3"; "$3-save" -c
    else echo unseen; fi 2>&1 | most
  fi
  s "nft$1"
  if grep -qs '^nf_tables ' /proc/modules || [ -n "$nft" ]; then
    if have "$3-nft-save"; then echo "$3-nft"; "$3-nft-save" -c
    elif have "$3-save" && "$3-save" -V 2>/dev/null | grep -q nf_tables; then echo "$3"; "$3-save" -c; fi 2>&1 | most
  fi
}
PATH=$PATH:/usr/sbin:/sbin
nft=
s nft
if have nft; then nft=there; echo nft; nft list ruleset 2>&1 | most
elif grep -qs '^nf_tables ' /proc/modules && ! have iptables-nft-save && ! have iptables-save; then echo unseen; fi
tables 4 ip_tables iptables
tables 6 ip6_tables ip6tables
s ipset
if [ -d /sys/module/ip_set ] && have ipset; then ipset save 2>/dev/null | most; fi
s end
