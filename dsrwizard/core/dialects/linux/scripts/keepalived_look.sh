# shellcheck shell=sh
# shellcheck disable=SC2043  # holes for many words
# Looks at keepalived and what it needs, and changes nothing. Sections begin with a marker line that holds the nonce.

export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
m='==dsr:@NONCE@'
s() { printf '\n%s:%s==\n' "$m" "$1"; }
@PROCESS@
s begin
s version; keepalived --version 2>&1 | head -n 1
s systemd; if [ -d /run/systemd/system ]; then echo yes; else echo no; fi
s running; if p=$(keepalived_pid); then echo "$p"; tr '\0' ' ' <"/proc/$p/cmdline"; fi
s age; [ -z "$p" ] || {
  up=$(cut -d. -f1 /proc/uptime) && t=$(sed 's/.*) //' "/proc/$p/stat" | cut -d' ' -f20) &&
    echo $((up - t / $(getconf CLK_TCK 2>/dev/null || echo 100)))
} 2>/dev/null
s sync; ! ipvsadm -l --daemon 2>/dev/null || echo asked
s active; [ ! -d /run/systemd/system ] || ! systemctl is-active -q keepalived.service || echo yes
s unit; for f in /etc/systemd/system /usr/lib/systemd/system /lib/systemd/system; do
  [ ! -e "$f/keepalived.service" ] || { echo "$f/keepalived.service"; readlink "$f/keepalived.service"; break; }
done
s program; for f in "$(command -v dsrwizard)" /opt/dsrwizard/bin/dsrwizard /usr/local/bin/dsrwizard /root/.local/bin/dsrwizard
do [ ! -f "$f" ] || [ ! -x "$f" ] || { echo "$f"; break; }; done
s guard; [ ! -r @GUARD@ ] || { date +%s; head -c 1000000 @GUARD@ | base64; }
s settings; for f in @SETTINGS@; do [ ! -r "$f" ] || echo "$f:$(cat "$f")"; done
s table; if [ -r /proc/net/ip_vs ]; then echo table; cat /proc/net/ip_vs; fi
s named
grep -rhoE '^[[:space:]]*(script|misc_path|notify[a-z_]*)[[:space:]]+"?/[^" ]+' /etc/keepalived 2>/dev/null |
  sed 's/.*[[:space:]"]//' | sort -u | while read -r f; do [ -e "$f" ] || echo "$f"; done
find /etc/keepalived -type f -size -512k ! -name '.*' 2>/dev/null | sort | head -n 200 | while read -r f; do
  s "text:$f"; base64 "$f"
done
@LOOK_AT_FILES@
s end
