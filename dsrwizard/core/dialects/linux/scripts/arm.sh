# shellcheck shell=sh
# shellcheck disable=SC2043  # a hole for several words
# shellcheck disable=SC2154  # `m` and `disarm` are set by what comes before it
# Before the first step: what takes the steps back is written where root alone can read and write, and started.

d=''
tick() { # a sign of life: so many seconds from now
  read -r u _ </proc/uptime
  echo "$((${u%%.*} + __AFTER__))" >"$d/until.new" && mv -f "$d/until.new" "$d/until"
}
begun() { # CHANGE: from now on there may be something to take back
  [ -e "$d/armed" ] || { echo 'this host has begun to put itself back, because nobody proved the steps in time'; return 1; }
  : >"$d/$1"
}
unarmed() { # WHY
  echo "$1"
  [ -z "$d" ] || rm -rf "$d"
  printf '\n%s:unarmed:0==\n' "$m"
  exit 0
}
for b in @PLACES@; do
  if [ -d "$b" ] && [ -w "$b" ]; then d=$b/dsrwizard; break; fi
done
[ -n "$d" ] || unarmed 'there is no folder @PLACES@ to write to'
mask=$(umask)
umask 077
mkdir "$d" 2>/dev/null
if [ -L "$d" ] || [ "$(stat -c %u:%a "$d" 2>&1)" != "$(id -u):700" ]; then r=$d; d=''; unarmed "$r is not root's alone"; fi
d=$d/run.@NONCE@
mkdir "$d" || unarmed "$d cannot be made"
cat >"$d/revert" <<'DSRWIZARD_REVERT' || unarmed "$d/revert cannot be written"
@REVERT@
DSRWIZARD_REVERT
echo "$$ $(cut -d' ' -f22 /proc/$$/stat)" >"$d/script"
{ tick && : >"$d/armed"; } || unarmed "$d cannot be written"
umask "$mask"
if [ -d /run/systemd/system ] && systemd-run --quiet --unit=dsrwizard-revert-@NONCE@ --on-active=__AFTER__ \
  --timer-property=AccuracySec=1s /bin/sh "$d/revert" "$d" >/dev/null 2>&1 &&
  systemctl is-active --quiet dsrwizard-revert-@NONCE@.timer; then :
else
  if command -v setsid >/dev/null; then setsid /bin/sh "$d/revert" "$d" </dev/null >/dev/null 2>&1 &
  else nohup /bin/sh "$d/revert" "$d" </dev/null >/dev/null 2>&1 &
  fi
  i=0; while [ ! -e "$d/awake" ] && [ "$i" -lt 5 ]; do sleep 1; i=$((i + 1)); done
  [ -e "$d/awake" ] || unarmed 'nothing can be started there that outlives this connection'
fi
printf '\n%s:armed:__AFTER__==\n' "$m"
