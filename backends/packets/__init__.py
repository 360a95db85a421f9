"""Packets built, sent, received and understood by own small code: Ethernet, ARP, IP, ICMP, TCP and UDP.

Everything that parses returns None for a frame that is not exactly what it should be; nothing here trusts a length
or a checksum it has not verified. Addresses are packed bytes (4 or 16, network order) inside, text at the edges.
"""
