"""Ours against what people would use instead: `compare.py --peers`."""
