# shellcheck shell=sh
# shellcheck disable=SC2043  # holes for many words
# Part of a look: which folders are there, and each file with its mode. `s` begins a section.

set --
for f in @FILES@; do if [ -f "$f" ] && [ ! -L "$f" ]; then set -- "$@" "$f"; fi; done
s folders; for f in @FOLDERS@; do if [ -d "$f" ]; then echo "yes $f"; else echo "no $f"; fi; done
s modes; [ $# = 0 ] || stat -c '%a %n' "$@"
for f in @FILES@; do
  s "file:$f"
  if [ -L "$f" ]; then printf 'link '; readlink "$f"
  elif [ -f "$f" ]; then echo file; base64 "$f" || echo '?'
  else echo none; fi
done
