# shellcheck shell=sh
# Pings, connects and reads the neighbour entries; changes nothing. Every line that counts begins with the nonce.

export LC_ALL=C
n='@NONCE@'
say() { printf '\n%s %s\n' "$n" "$*"; }
now() { t=$(date +%s%N 2>/dev/null); case $t in *N|'') echo 0;; *) echo "$t";; esac; }
since() { echo $(( ($(now) - $1) / 1000000 )); }
limit() { if have timeout; then timeout "$@"; else shift; "$@"; fi; }
word() { # what a tool said, as one of our words
  case $1 in
    *refused*|*"Couldn't connect"*|*'Could not connect'*) echo refused;;
    *nreachable*|*'No route'*) echo unreachable;;
    *'timed out'*|*'imed out'*|*timeout*) echo silent;;
    *) echo "$2";;
  esac
}
have() { command -v "$1" >/dev/null 2>&1; }
# shellcheck disable=SC2016,SC2086  # `$1` is another shell's; the rest is one word, or words that are to be parted
one() { # ADDRESS PORT KIND: the first tool that can say decides
  r=none; t=-; more=
  if [ $3 = http ] && have curl; then
    m=$(curl -0 -I -sS -o /dev/null --noproxy '*' --connect-timeout @SECONDS@ -m $((__SECONDS__ + 1)) -w \
      'connected %{time_connect} %{local_ip} %{local_port} %{time_starttransfer} %{size_request} %{size_header}' \
      "http://$(bracket "$1"):$2/" 2>&1 </dev/null)
    case $m in
      *'connected 0.000000'*) r=$(word "$m" unknown);;
      *'connected '*) r=open; set -- "$1" "$2" "$3" ${m##*connected }; t=${4}s; more="$5 $6 ${7}s $8 $9 - -";;
    esac
  fi
  if [ $r = none ] || [ $r = unknown ] && have bash && have timeout; then
    b=$(now); m=$(timeout @SECONDS@ bash -c 'exec 3<>"/dev/tcp/$1/$2"' sh "$1" "$2" 2>&1); c=$?
    case $c in 0) r=open; t=$(since "$b");; 124) r=silent;; *) r=$(word "$m" unknown);; esac
  fi
  if [ $r = none ] || [ $r = unknown ] && have nc; then
    b=$(now)
    m=$(nc -v -z -w @SECONDS@ "$1" "$2" 2>&1 </dev/null) && { r=open; t=$(since "$b"); } || r=$(word "$m" unknown)
  fi
  if [ $r = none ] || [ $r = unknown ] && have curl; then
    m=$(curl -sS -o /dev/null --noproxy '*' --connect-timeout @SECONDS@ -m @SECONDS@ \
      -w 'connected %{time_connect}' "telnet://$(bracket "$1"):$2" 2>&1 </dev/null)
    case $m in *'connected 0.000000'*|*'connected 0,000000'*) r=$(word "$m" unknown);; *connected*) r=open;; esac
  fi
  say "tcp $1 $2 $r $t $more"
}
bracket() { case $1 in *:*) echo "[$1]";; *) echo "$1";; esac; }
many='@CONNECT@'
connections() { # lines of ADDRESS PORT COUNT KIND
  if have python3 && DSRWIZARD_NONCE=$n python3 -c "$many" "$1" @SECONDS@ @BUDGET@ @GREETING@ </dev/null 2>/dev/null; then
    return
  fi
  say "tap python3"
  echo "$1" | {
    # shellcheck disable=SC2170  # a hole for a number
    while read -r a p c k _; do
      [ "$k" = big ] && continue # these tools tell nothing of sizes
      [ "$c" -gt @PLAIN@ ] && c=@PLAIN@
      while [ "$c" -gt 0 ]; do one "$a" "$p" "$k" & c=$((c - 1)); done
    done
    wait
  }
}
echo='@PING@'
reach() { # ADDRESS
  c=2; t=-; h=-
  if have ping; then
    m=$(limit @PATIENCE@ ping -n -c 2 -i 0.3 -W @SECONDS@ "$1" 2>&1); c=$?
    t=${m#*time=}; [ "$t" = "$m" ] && t=- || t=${t%% *}
    h=${m#*ttl=}; [ "$h" = "$m" ] && h=- || h=${h%% *}
    case $m in *transmitted*|*nreachable*|'') ;; *) [ $c = 0 ] || c=2;; esac
  fi
  if [ $c = 2 ] && have python3; then t=$(python3 -c "$echo" "$1" 2>/dev/null); c=$?; h=; fi
  case $c in
    0) say "ping $1 answered ${t:--} ${h:--}";;
    1|124) say "ping $1 silent -";;
    *) say "ping $1 unknown -";;
  esac
}
# shellcheck disable=SC2046  # words that are to be parted
near() { # ADDRESS: read after the tests, which made the entry
  have ip || { say "link $1 unknown"; return; }
  case $(ip route get "$1" 2>/dev/null) in
    *' via '*) say "link $1 far"; return;;
    *' dev lo '*|local*|'') say "link $1 unknown"; return;;
    *) say "link $1 near";;
  esac
  set -- "$1" $(ip neigh show "$1" 2>/dev/null)
  a=$1; shift
  while [ $# -gt 1 ]; do [ "$1" = lladdr ] && say "mac $a $2"; shift; done
}
@TESTS@
connections @PLAN@ &
wait
@NEAR@
say end
