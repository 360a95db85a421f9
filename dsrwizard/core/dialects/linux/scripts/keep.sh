# shellcheck shell=sh
# shellcheck disable=SC2043  # a hole for several words
# What was applied stays: the revert is disarmed, whichever run armed it.

m='==dsr:@NONCE@'
word=none
for b in @PLACES@; do
  for r in "$b"/dsrwizard/run.*; do
    [ -d "$r" ] || continue
    if mv -f "$r/armed" "$r/over" 2>/dev/null; then
      n=dsrwizard-revert-${r##*/run.}
      if [ -d /run/systemd/system ]; then systemctl stop "$n.timer" "$n.service" 2>/dev/null; fi
      rm -rf "$r"
      word=kept
    else word=back
    fi
  done
  [ ! -e "$b/dsrwizard/reverted" ] || word=back
  rmdir "$b/dsrwizard" 2>/dev/null
done
printf '\n%s:%s==\n' "$m" "$word"
