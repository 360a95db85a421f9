# shellcheck shell=sh
# Runs on the real server by itself, as root: takes the steps of one run back, unless somebody keeps them first.
# $1: the run's folder, below one that is root's alone. `armed` in it says that it is to do so; whoever renames that file
# first, this or who keeps the steps, has decided. A file sNcM says that change M of step N had begun.

d=$1
export LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
: >"$d/awake"
blind=0 long=__AFTER__
while [ -e "$d/armed" ]; do
  read -r u _ </proc/uptime
  t=''; read -r t <"$d/until"
  case $t in
    '' | *[!0-9]*) blind=$((blind + 1)); [ "$blind" -lt "$long" ] || break ;;
    *) [ "${u%%.*}" -lt "$t" ] || break ;;
  esac
  sleep 1
done
mv -f "$d/armed" "$d/fired" 2>/dev/null || exit 0
read -r p s <"$d/script" && [ "$(cut -d' ' -f22 "/proc/$p/stat" 2>/dev/null)" = "$s" ] && kill -9 "$p"
sync() { command sync "$@" 2>/dev/null || command sync; }
sysctl_() { # KEY PATH OLD NEW
  grep -qxF -- "$3" "$2" && return 0
  grep -qxF -- "$4" "$2" || return 1
  if command -v sysctl >/dev/null; then sysctl -qw "$1=$3"; else printf '%s\n' "$3" >"$2"; fi
}
holds() { ip -o addr show dev "$1" to "$2" 2>/dev/null | grep -q .; } # INTERFACE ADDRESS/PREFIX
is() { [ -f "$1" ] && [ ! -L "$1" ] && [ "$(sha256sum <"$1" | cut -c1-64)" = "$2" ]; } # PATH SHA256
none() { [ ! -e "$1" ] && [ ! -L "$1" ]; }
empty() { [ -f "$1" ] && [ ! -L "$1" ] && [ ! -s "$1" ]; }
back() { # CHANGE WHAT: takes one change back where it had begun
  [ ! -e "$d/$1" ] || "undo_$1" || printf 'stays %s\n' "$2" >>"$d/stays"
}
