# shellcheck shell=sh
# What no step changes: default routes and listening sockets.

s route4; ip -j -4 route show default
s route6; ip -j -6 route show default 2>/dev/null
s listeners; if command -v ss >/dev/null; then echo ss; ss -H -l -t -u -n @PROCESSES@; else echo none; fi
