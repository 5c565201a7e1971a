"""One call: what is asked, who is asked in which order, and how each attempt ends."""
