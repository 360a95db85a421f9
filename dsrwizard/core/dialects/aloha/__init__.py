"""ALOHA's own language: the text of its LB Layer4 tab, what differs in it, and what is known of its commands."""
