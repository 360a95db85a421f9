"""The kernel's director: IPVS, addresses and settings of this machine."""
