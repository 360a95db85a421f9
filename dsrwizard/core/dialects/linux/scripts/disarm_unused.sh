# shellcheck shell=sh
# shellcheck disable=SC2154  # `d`, `m` and `disarm` are set by what comes before it
# After the last step: nothing to take back is nothing to wait for.

tick
set -- "$d"/s[0-9]*
if [ ! -e "$1" ] && disarm "$d"; then
  rmdir "${d%/*}" 2>/dev/null
  printf '\n%s:disarmed:0==\n' "$m"
fi
