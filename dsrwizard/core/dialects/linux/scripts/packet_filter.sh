# shellcheck shell=sh
# What filters packets. The tables of iptables-legacy are asked for only where the kernel has them already: looking loads
# nothing.

have() { command -v "$1" >/dev/null; }
few() { grep -E "$1" | head -n @LINES@; }
tables() {
  s "filter$1"
  if grep -qs . "/proc/net/${2}_names"; then
    if have "$3-legacy-save"; then echo "$3-legacy"; "$3-legacy-save" -c
    elif have "$3-save"; then echo "$3"; "$3-save" -c
    else echo unseen; fi
  elif ! have nft && have "$3-save"; then echo "$3-nft"; "$3-save" -c; fi 2>&1 | sed '/^\*nat/,/^COMMIT/d' | few .
}
s filter
if have nft; then
  echo nft; nft list ruleset 2>&1 | few '^table|^[[:space:]](chain|\})|hook |drop|reject|jump|goto|denied|ermitted'
fi
tables 4 ip_tables iptables
tables 6 ip6_tables ip6tables
