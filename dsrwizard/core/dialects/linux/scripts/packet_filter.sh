# shellcheck shell=sh
# The packet filters of a host with every rule and its counters, NAT included. The tables of iptables-legacy are asked
# for only where the kernel has them already: looking loads nothing.

have() { command -v "$1" >/dev/null; }
most() { head -n @LINES@; }
# Of a table nat with tens of thousands of rules, as kube-proxy makes it, what a packet to these addresses may meet.
# shellcheck disable=SC2016
near='
BEGIN {n = split("@NEAR@", near, " "); for (i = 1; i <= n; i++) asked[near[i]] = 1}
/^[*]/ {nat = n && /^[*]nat/; k = 0}
!nat {print; next}
{line[++k] = $0}
/^COMMIT/ {
  for (i = 1; i <= k; i++) {
    words = split(line[i], word, " "); chain[i] = target = to = ""
    for (j = 1; j < words; j++) {
      if (word[j] == "-A" && chain[i] == "") chain[i] = word[j + 1]
      if (word[j] == "-d" && word[j - 1] != "!") to = word[j + 1]
      if (word[j] == "-j" || word[j] == "-g") target = word[j + 1]
    }
    goal[i] = target
    far[i] = to ~ /\/(32|128)$/ && !(to in asked)
  }
  reached["PREROUTING"] = reached["INPUT"] = 1
  do {
    more = 0
    for (i = 1; i <= k; i++)
      if (chain[i] in reached && !far[i] && goal[i] != "" && !(goal[i] in reached)) reached[goal[i]] = more = 1
  } while (more)
  for (i = 1; i <= k; i++) {
    head = line[i]; sub(/^:/, "", head); sub(/ .*/, "", head)
    if (line[i] ~ /^:/ ? head in reached : chain[i] == "" || (chain[i] in reached && !far[i])) print line[i]
  }
  nat = 0; for (one in reached) delete reached[one]
}'
# Of a set of nftables with very many elements, the first.
# shellcheck disable=SC2016
short='
/^[ \t]*elements = / {inside = 1; n = 0}
inside {
  n++
  if (/}$/) inside = 0
  else if (n > @ELEMENTS@) {if (n == @ELEMENTS@ + 1) print "@CUT@,"; next}
}
{print}'
# What a program says beside its list would get into the middle of a line; where it lists nothing, it is heard.
saved() {
  echo "$1"
  "$2" -c 2>/dev/null | awk "$near"' END {exit !NR}' || "$2" -c 2>&1
}
listed() { nft list ruleset 2>/dev/null | awk "$short"' END {exit !NR}' || nft list ruleset 2>&1; }
tabled() { # asked more than once, looked at once
  if [ -z "$tabled" ]; then
    tabled=no; read -r release </proc/sys/kernel/osrelease
    if grep -qsE '^nf_tables |/nf_tables[.]ko' /proc/modules "/lib/modules/$release/modules.builtin"; then tabled=yes; fi
  fi
  [ "$tabled" = yes ]
}
tables() {
  s "legacy$1"
  if [ -e "/proc/net/${2}_names" ] && [ ! -r "/proc/net/${2}_names" ]; then echo hidden
  elif [ -e "/proc/net/${2}_names" ] && read -r _ <"/proc/net/${2}_names"; then
    if have "$3-legacy-save"; then saved "$3-legacy" "$3-legacy-save"
    elif have "$3-save" && ! "$3-save" -V 2>/dev/null | grep -q nf_tables; then saved "$3" "$3-save"
    else echo unseen; fi | most
  fi
  s "nft$1"
  if [ -n "$nft" ] || tabled; then
    if have "$3-nft-save"; then saved "$3-nft" "$3-nft-save"
    elif have "$3-save" && "$3-save" -V 2>/dev/null | grep -q nf_tables; then saved "$3" "$3-save"; fi | most
  fi
}
PATH=$PATH:/usr/sbin:/sbin
nft=
tabled=
s programs
for p in nft iptables-save iptables-legacy-save iptables-nft-save; do if have "$p"; then echo "$p"; fi; done
s nft
if have nft; then nft=there; echo nft; listed | most
elif tabled && ! have iptables-nft-save && ! have iptables-save; then echo unseen; fi
tables 4 ip_tables iptables
tables 6 ip6_tables ip6tables
s ipset
if [ -d /sys/module/ip_set ] && have ipset; then
  ipset save 2>/dev/null | awk '$1 != "add" || ++n[$2] <= @MEMBERS@ {print; next}
    n[$2] == @MEMBERS@ + 1 {print "add", $2, "@CUT@"}' | most
fi
