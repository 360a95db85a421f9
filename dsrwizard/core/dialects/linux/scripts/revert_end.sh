# shellcheck shell=sh
# shellcheck disable=SC2043  # a hole for several words
# shellcheck disable=SC2154  # `d` is set by what comes before it
# The end of taking back: what is on the disk stays on it, and the next look finds a note.

for f in @FOLDERS@; do if [ -d "$f" ]; then sync "$f"; fi; done
{ printf 'reverted '; date +%s; cat "$d/stays" 2>/dev/null; } >"$d/note"
mv -f "$d/note" "${d%/*}/reverted"
rm -rf "$d"
