#!/bin/sh
# lab-service stop | start [ADDRESS]       this host's TCP services on ports 80 and 8080 and its UDP echo on port 7;
#                                          ADDRESS: only there
# lab-service stop | start SERVICE         one of them: tcp/80, tcp/8080, udp/7
# lab-service bind SERVICE ADDRESS,...     one of them, only at these addresses
pid=/run/lab-service.pid
one=/run/lab-service.d
stop() {
    [ -s $pid ] || return 0
    old=$(cat $pid)
    rm -f $pid
    kill "$old"
    while kill -0 "$old" 2>/dev/null; do sleep 0.02; done  # its ports are free now
}
start() {
    rm -f $pid
    # shellcheck disable=SC2046  # several words
    setsid @SERVE@ "$@" $(cat $one/* 2>/dev/null) \
        </dev/null >/run/lab-service.log 2>&1 &
    until [ -s $pid ]; do
        kill -0 $! 2>/dev/null || { cat /run/lab-service.log >&2; exit 1; }
        sleep 0.02
    done
}
again() {
    [ -s $pid ] || return 0
    stop
    # shellcheck disable=SC2046  # several words
    start $(cat $one.all 2>/dev/null)
}
mkdir -p $one
case "$1:$2" in
stop:) stop ;;
stop:*/*) echo "$2=" >"$one/${2%/*}-${2#*/}"; again ;;
bind:*/*) echo "$2=$3" >"$one/${2%/*}-${2#*/}"; again ;;
start:*/*) rm -f "$one/${2%/*}-${2#*/}"; again ;;
start:*) shift; echo "$@" >$one.all; start "$@" ;;
*) sed -n 's/^# /usage: /p' "$0" >&2; exit 2 ;;
esac
