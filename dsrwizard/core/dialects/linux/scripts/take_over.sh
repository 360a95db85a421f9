# shellcheck shell=sh
# shellcheck disable=SC2043  # a hole for several words
# shellcheck disable=SC2154  # `m` is set by what comes before it
# What an earlier run left armed is over: from here on this run answers for what is there. One that is still at it goes
# first.

alive() { # RUN: the script that armed it still runs
  read -r p t <"$1/script" 2>/dev/null && [ "$(cut -d' ' -f22 "/proc/$p/stat" 2>/dev/null)" = "$t" ]
}
disarm() { # RUN: nothing is taken back from now on; fails where that has begun
  mv -f "$1/armed" "$1/over" 2>/dev/null || return 1
  n=dsrwizard-revert-${1##*/run.}
  if [ -d /run/systemd/system ]; then systemctl stop "$n.timer" "$n.service" 2>/dev/null; fi
  rm -rf "$1"
}
for b in @PLACES@; do
  for r in "$b"/dsrwizard/run.*; do
    [ -d "$r" ] || continue
    if [ -e "$r/armed" ] && alive "$r"; then printf '\n%s:busy:0==\n' "$m"; exit 0; fi
    i=0; while [ -e "$r/fired" ] && [ "$i" -lt 30 ]; do sleep 1; i=$((i + 1)); done
    if [ -e "$r/fired" ]; then printf '\n%s:busy:1==\n' "$m"; exit 0; fi
    disarm "$r" || rm -rf "$r"
  done
  rm -f "$b/dsrwizard/reverted"
  rmdir "$b/dsrwizard" 2>/dev/null
done
