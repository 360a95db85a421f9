# shellcheck shell=sh
# Has keepalived read its files again, starts or stops it.

export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
@PROCESS@
unit() { systemctl "$1" keepalived.service; }
soon() { # WANTED: waits until it runs (yes) or does not (no)
  i=0
  while [ "$i" -lt 100 ]; do
    if keepalived_pid >/dev/null; then is=yes; else is=no; fi
    [ "$is" != "$1" ] || return 0
    sleep 0.1
    i=$((i + 1))
  done
  echo "keepalived $2 within 10 seconds; see its log"
  return 1
}
health() { # the folders of health files: keepalived watches them, so they have to be there first
  (umask 077 && sed -n 's#^ *file "\(/run/dsrwizard/health/[^/"]*\)/.*#\1#p' /etc/keepalived/dsrwizard.d/*.conf |
    sort -u | while read -r f; do mkdir -p "$f"; done) 2>/dev/null
}
verb=@VERB@ # by whom, and what
[ "${verb#*-}" = stop ] || health
case $verb in
unit-reload) unit reload ;;
itself-reload) ! p=$(keepalived_pid) || kill -HUP "$p" ;;
unit-start) unit start && soon yes 'did not start' ;;
itself-start)
  keepalived_pid >/dev/null || keepalived </dev/null >/dev/null 2>&1
  soon yes 'did not start'
  ;;
*-stop)
  [ "$verb" != unit-stop ] || unit stop
  ! p=$(keepalived_pid) || kill -TERM "$p"
  soon no 'did not stop'
  ;;
esac
