# shellcheck shell=sh
# The process id of the keepalived of this network namespace: the parent of its processes.

keepalived_pid() {
  n=$(readlink /proc/self/ns/net)
  for d in /proc/[0-9]*; do
    read -r c <"$d/comm" || continue
    [ "$c" = keepalived ] && [ "$(readlink "$d/ns/net")" = "$n" ] || continue
    p=$(sed -n 's/^PPid:[[:space:]]*//p' "$d/status")
    c=; [ "$p" = 0 ] || read -r c <"/proc/$p/comm"
    [ "$c" = keepalived ] || { echo "${d#/proc/}"; return 0; }
  done 2>/dev/null
  return 1
}
