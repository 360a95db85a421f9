# shellcheck shell=sh
# shellcheck disable=SC2043  # a hole for several words
# shellcheck disable=SC2154  # holes for words
# Holds this host's lock for one run, until its connection ends or it gives no sign of life. Standard input is the
# connection: each sign of life is one byte of it, and its end is the end of the run.

m='==dsr:@NONCE@'
say() { printf '\n%s:%s==\n' "$m" "$1"; }
alive() { # PROCESS START: the script that wrote this still runs
  [ -n "$1" ] && [ "$(cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null)" = "$2" ]
}
nap() { sleep 0.2 2>/dev/null || sleep 1; }
f=''
for b in @PLACES@; do
  if [ -d "$b" ] && [ -w "$b" ]; then f=$b/dsrwizard.lock; break; fi
done
umask 077
if [ -z "$f" ] || ! command -v flock >/dev/null || ! (: >>"$f") 2>/dev/null; then say none; exit 0; fi
me=@HOLDER@
i=0
while :; do
  exec 9>>"$f"
  flock -n 9 2>/dev/null
  case $? in
  0) if [ "/proc/$$/fd/9" -ef "$f" ]; then break; fi ;; # its holder has removed the file meanwhile
  1)
    p='' t='' who=''
    { read -r p t && read -r who; } 2>/dev/null <"$f"
    if alive "$p" "$t"; then
      if [ "$who" = "$me" ]; then kill "$p"; fi # this run has lost the connection that held it
      if [ "$i" -ge 2 ] && [ "$who" != "$me" ]; then say busy; printf '%s\n' "$who"; say end; exit 0; fi
    fi
    ;;
  *) say none; exit 0 ;;
  esac
  i=$((i + 1))
  if [ "$i" -ge 25 ]; then say busy; say end; exit 0; fi
  nap
done
printf '%s %s\n%s\n' "$$" "$(cut -d' ' -f22 "/proc/$$/stat")" "$me" >"$f"
say held
if timeout 5 true 2>/dev/null; then
  sign() { exec 9>&-; exec timeout __SECONDS__ dd bs=1 count=1 2>/dev/null; }
else
  sign() { exec 9>&-; exec dd bs=1 count=1 2>/dev/null; }
fi
while [ -n "$(sign)" ]; do :; done
rm -f "$f"
exit 0
