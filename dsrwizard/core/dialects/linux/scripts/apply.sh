# shellcheck shell=sh
# shellcheck disable=SC2034  # what comes after it reads `m`
# The functions that the steps of an applying script use.

m='==dsr:@NONCE@'
export LC_ALL=C
command -v sysctl >/dev/null || sysctl() { # procps may be missing: the file is the setting
  for a; do case $a in *=*)
    printf '%s\n' "${a#*=}" >"/proc/sys/$(printf %s "${a%%=*}" | tr ./ /.)" || return 1
  esac; done
}
same() { # PATH VALUE: the kernel setting still has the value that was observed
  grep -qxF -- "$2" "$1" || { echo "changed meanwhile: $1 is $(cat "$1"), was $2"; return 1; }
}
still() { # PATH SHA256: the file is still what was observed
  [ -f "$1" ] && [ ! -L "$1" ] && [ "$(sha256sum <"$1" | cut -c1-64)" = "$2" ] || {
    echo "changed meanwhile: $1 is not the file that was observed"; return 1; }
}
absent() { [ ! -e "$1" ] && [ ! -L "$1" ] || { echo "changed meanwhile: $1 exists now"; return 1; }; }
linked() { [ "$(readlink "$1")" = "$2" ] || { echo "changed meanwhile: $1 points elsewhere"; return 1; }; }
sync() { command sync "$@" 2>/dev/null || command sync; } # before coreutils 8.24 it took no names
on_disk() { for f; do [ ! -d "$f" ] || sync "$f" || return 1; done; } # FOLDERS
