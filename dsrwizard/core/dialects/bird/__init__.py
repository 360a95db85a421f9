"""BIRD's files and answers, for directors that announce their VIPs by BGP."""
