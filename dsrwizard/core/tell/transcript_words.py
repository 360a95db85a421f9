"""What may stand in a transcript of an appliance's answers as it is: words of its maker, and nothing else.

Sources: the NITRO reference (fields and values of nsversion, nsfeature, nsmode, hanode, server, service, lbvserver,
lbmonitor and their bindings), `lbcli --help` and the templates of LB_API_Library.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEY_PARTS = _words(
    """
    action active address all api attrs auto availability backend backup binding bindings bound bytes cert certificate
    change changed check client clt clttimeout code command comment config conn connection connections connfailover
    conns cookie count cur current data default delay dest down downstate dump dynamic effective enabled err error
    established external failed failover failure fallback feature flag flags floating flush forwarding forwardingmethod
    function gateway granularity group groups ha haproxy hash health healthmonitor hits http id idle inactive info
    interface internal interval ip itteration key label last lastresponse layer lb lbapi lbcli lbmethod lbmonitor
    lbvserver ldirectord learn license limit list load loadbalancer lost mac macmode mapping mask masq master max mbf
    member message method min mode model mon monitor monitored name netmask netprofile network node ns nsconfig
    nsfeature nsmode nsversion num number off online option options order output packet packets pair password path
    peer pending percent persist persistence persistent policy port ports prefix primary priority probe probes profile
    prop protocol proxy quiescent range rate real reason redirect reload req request requests reset resp response
    responses result retain retries retry return role round rule save saved schedule scheduler sec secondary seconds
    secret send sent serial serialno server servername service servicegroup servicename session sessionid sessionless
    set severity since size slave slow snat source spillover src ssl start stat state status sticky success svc svr sync
    target tcp td tcpb threshold throughput tick ticks time timeout token tos tot total transparent trofs ttl type udp
    unit units use user username usip value version vip virtual vlan vserver vsvr warning weight
    """
)
"""What the name of a field is made of. A name that has anything else in it may be the name of a server."""
KEYS = frozenset({"m", "ipv46", "ipv6", "units1", "units2", "units3", "units4", "lb", "rr"})
"""Names of fields beside those."""
VALUES = _words(
    """
    active adaptivetcp adns any api apigateway appflow appfw appqoe arp bgp bot bridgebpdus callid callidhash ch ci
    citrix-xml-service cka cloudbridge cmp configured connect contentaccelerator cookieinsert cqa cr critical cs
    customload customserverid destinationiphash destip dh dhcpra diameter disabled dns domainhash done down dradv
    dradv6 drain dtls dumpconfig edge enabled error exists external failed fail false fatal feo fix floatingip forced
    forwardproxy fr ftp fwm gate gslb halt hdosp hour http http-ecv http-inline ic icmp info init ip ipip iptunnel
    ipv6pt iradv isis l2 l3 lb lblc lblcr lc ldap leastbandwidth leastconnection leastpackets leastrequest
    leastresponsetime list lrtm lsn mac masq mbf mediaclassification mh min missing msec msr mssql mysql nd6 negotiate
    netscaler no no_rr none nntp nq off on online ops oracle ospf passive ping ping-default pmtud pop3 pq primary push
    radius rdp rdpproxy reachable rep responder rewrite rip rise_apbr rise_rhi roundrobin rpcsvr rr rtsp rule sc sec
    secondary sed sh sip_ssl sip_tcp sip_udp smpp smtp snat snmp sourceip sourceiphash sp sradv sradv6 srcipdestip
    srcipdestiphash srcipsrcporthash ssl ssl_bridge ssl_diameter ssl_tcp sslinterception sslsession sslvpn standalone
    stateful stateless staticproximity staysecondary success tcp tcp-default tcp-ecv tcpb tcpudp tftp token tos true
    udp udp-ecv ulfd unknown up urlfiltering urlhash urlpassive user usip usnip videooptimization warning wl wlc wrr
    yes
    """
) | {"out of service", "going out of service", "down when going out of service", "partial failure", "complete failure"}
"""Values, in small letters, whatever the field: states, methods, kinds of services, features and modes."""
TEXTS = frozenset({"message", "lastresponse", "error", "output", "reason", "warning"})
"""Fields with sentences of the appliance: of their words those in `SAID` stay."""
SAID = _words(
    """
    a access ack after already an and any application are argument arguments at authentication authorized bad be been
    bind binding both cannot certificate client code command connection contains could currently default deleted denied
    disabled does during enabled entry error established establishment execute exceeded exist exists expired fail failed
    failure feature features for found from got has in incorrect internal invalid is key length license limit login
    mismatch missing mode monitor name no node not object of on option or out parameter password permission please pong
    port primary probe protocol range received refused rejected reply request required reset resolved resource response
    rst running secondary sent server service session skipped specified stage state status success successful such syn
    syn+ack tcp that the then this time timed timeout to too type unable unknown unreachable user username valid value
    vserver was were while with within wrong
    """
)
NUMBERS = _words(
    """
    check_port clttimeout errorcode failedprobes granularity haerrproptimeout haerrsyncfailure hash_weight id interval
    layer maxconns minconns persist_time port priority range resptimeout retries svrtimeout td timeout weight
    """
)
"""Fields whose small numbers are settings and tell of nobody."""
