"""Answers requests. One list keeps something of each."""

seen = []


def parse(number):
    return {"id": number, "path": f"/item/{number}", "tags": [number % 7, number % 11]}


def audit(request):
    seen.append((request["id"], request["path"]))


def handle(number):
    request = parse(number)
    audit(request)
    return len(request["path"]) * 100 * "."


for number in range(100_000):
    handle(number)
