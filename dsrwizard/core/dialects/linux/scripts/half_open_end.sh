# shellcheck shell=sh
# The counters once more, the machine's byte order, and every half-open connection there is.

counters after
s order; printf '\001\000' | od -An -tx2 2>/dev/null
s waiting; all | head -n @MOST@
s end
