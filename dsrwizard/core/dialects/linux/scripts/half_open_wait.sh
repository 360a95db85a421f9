# shellcheck shell=sh
# shellcheck disable=SC2086  # numbers
# Looks again and again for connections from given sources. /proc/uptime counts hundredths of a second, and the shell
# reads it itself. The first look tells what of these sources is left from before.

mine() {
  all | grep -F @PATTERNS@
}
count() { printf '%s\n' "$1" | sort -u | grep -c .; }
now() { read -r up rest </proc/uptime; now=${up%.*}${up#*.}; }
found=$(mine)
want=$(($(count "$found") + __EXPECTED__))
now; end=$((now + __TICKS__))
s ready
while :; do
  new=$(mine)
  if [ "$new" ]; then
    found="$found
$new"
    [ "$(count "$found")" -lt $want ] || break
  fi
  now; [ $now -lt $end ] || break
  nap
done
s seen; printf '%s\n' "$found" | sort -u
