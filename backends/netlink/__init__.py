"""The director's datapath over netlink: IPVS, and this machine's links, addresses and routes."""
