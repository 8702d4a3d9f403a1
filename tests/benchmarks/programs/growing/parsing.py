"""A JSON document, parsed: the text and what is made of it."""

import json
import sys

row = '{{"id": {0}, "tags": ["a", "b"], "price": {0}.5}}'.format
text = f"[{','.join(map(row, range(int(sys.argv[1]))))}]"
rows = json.loads(text)  # dominates
print(len(rows))
