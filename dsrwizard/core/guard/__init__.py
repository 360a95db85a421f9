"""What a guard decides: which destinations are held out, which are let in again, and when nothing may be changed."""
