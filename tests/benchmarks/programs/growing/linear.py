"""A list of dictionaries, and a smaller one made of it."""

import sys

rows = [{"id": number, "name": f"row {number}"} for number in range(int(sys.argv[1]))]  # dominates
names = [row["name"] for row in rows]
