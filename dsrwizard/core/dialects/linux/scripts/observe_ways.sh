# shellcheck shell=sh
# Which way replies from a VIP take to clients: one line `way` for each VIP.

way() { s "way:$2"; ip -j "$1" route get "$3" from "$2" 2>&1; }
@ASKED@
