# shellcheck shell=sh
# shellcheck disable=SC2086  # numbers
# Looks again and again for connections from given sources. /proc/uptime counts hundredths of a second, and the shell
# reads it itself, as it counts what it has seen. The first look tells what of these sources is left from before.

nl='
'
found=
seen=0
look() {
  while IFS= read -r line; do
    case $line in '') continue;; esac
    case "$nl$found$nl" in
      *"$nl$line$nl"*) ;;
      *) found="$found${found:+$nl}$line"; seen=$((seen + 1));;
    esac
  done <<LINES
$(all | grep -F @PATTERNS@)
LINES
}
now() { read -r up rest </proc/uptime; now=${up%.*}${up#*.}; }
look
want=$((seen + __EXPECTED__))
now; end=$((now + __TICKS__))
s ready
while :; do
  look
  [ $seen -lt $want ] || break
  now; [ $now -lt $end ] || break
  nap
done
s seen; printf '%s\n' "$found"
