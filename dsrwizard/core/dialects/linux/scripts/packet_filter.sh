# shellcheck shell=sh
# What filters and translates packets. The tables of iptables-legacy are asked for only where the kernel has them already:
# looking loads nothing.

have() { command -v "$1" >/dev/null; }
few() { grep -E "$1" | head -n @LINES@; }
# Of the table nat, which may be long, only what a packet to this host may be turned into.
brief='/^[*]/ {n = /^[*]nat/} !n || /^[*:C]/ || (/-A PREROUTING|-j (REDIRECT|DNAT|TPROXY)/ && k++ < 300)'
program() {
  if grep -qs . "/proc/net/${1}_names"; then
    if have "$2-legacy-save"; then echo "$2-legacy"
    elif have "$2-save"; then echo "$2"
    else echo unseen; fi
  elif ! have nft && have "$2-save"; then echo "$2-nft"; fi
}
tables() {
  s "filter$1"
  p=$(program "$2" "$3")
  case $p in
  '') return ;;
  unseen) echo unseen; return ;;
  *-legacy) q=$p-save ;;
  *) q=$3-save ;;
  esac
  { echo "$p"; "$q" -c; } 2>&1 | awk "$brief" | few .
}
s filter
if have nft; then
  echo nft; nft list ruleset 2>&1 | few '^table|^[[:space:]](chain|\})|hook |drop|reject|jump|goto|denied|ermitted|redirect|dnat|tproxy|mark set'
fi
tables 4 ip_tables iptables
tables 6 ip6_tables ip6tables
