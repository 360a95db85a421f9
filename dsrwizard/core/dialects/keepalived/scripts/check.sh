# shellcheck shell=sh
# shellcheck disable=SC2317,SC2329  # what fills the hole calls it
# Has keepalived check its files as they are to be, on a copy of its folder: nothing that is in force is touched.

export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
t=$(mktemp -d) || exit 1
trap 'rm -rf "$t"' EXIT
k=$t/keepalived
mkdir "$k" && { [ ! -d /etc/keepalived ] || cp -a /etc/keepalived/. "$k/"; } || exit 1
here() { # includes of the copy are of the copy
  find "$k" -type f -exec sed -i -E "s#^([[:space:]]*include[rmwba]?[[:space:]]+\"?)/etc/keepalived/#\1$k/#" {} +
}
ask() { keepalived -t -f "$k/keepalived.conf" >"$1" 2>&1; }
put() { # PATH BASE64
  mkdir -p "$(dirname "$k/$1")" && printf %s "$2" | base64 -d >"$k/$1" || exit 1
}
here
: >"$t/before"
was=0
[ ! -s "$k/keepalived.conf" ] || ask "$t/before" || was=$?
@PUT@
here
is=0
ask "$t/after" || is=$?
[ "$is" != 0 ] || exit 0
sed "s#$k#/etc/keepalived#g" "$t/after"
if [ "$was" != 0 ] && cmp -s "$t/before" "$t/after"; then
  echo "keepalived -t refuses with status $was what is in force already, so it would not be read again: mend that first"
else
  echo "keepalived -t refuses the new files with status $is; nothing was changed"
fi
exit 1
