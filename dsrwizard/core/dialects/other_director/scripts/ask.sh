# shellcheck shell=sh
# shellcheck disable=SC2016  # the marker's words are filled in
# Has dsrwizard on another director do what it is asked by standard input. Without one there it says so.

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin p=
export PATH
for f in "$(command -v dsrwizard)" /opt/dsrwizard/bin/dsrwizard /usr/local/bin/dsrwizard /root/.local/bin/dsrwizard; do
  [ ! -f "$f" ] || [ ! -x "$f" ] || { p=$f; break; }
done
[ -n "$p" ] || { printf '\n==dsr:@NONCE@:absent==\n'; exit 0; }
base64 -d <<'@END@' | "$p" answer @WHAT@
@ORDER@
@END@
