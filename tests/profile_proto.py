"""A reader of pprof's ``profile.proto``, written from its definition alone, which checks the rules of the format."""

import gzip
from types import SimpleNamespace

MESSAGES = {
    "Profile": "1 sample_type ValueType, 2 sample Sample, 3 mapping Mapping, 4 location Location, 5 function Function, "
    "6 string_table text, 9 time_nanos number, 10 duration_nanos number, 11 period_type ValueType, 12 period number, "
    "13 comment numbers, 14 default_sample_type number",
    "ValueType": "1 type number, 2 unit number",
    "Sample": "1 location_id numbers, 2 value numbers, 3 label Label",
    "Label": "1 key number, 2 str number, 3 num number",
    "Mapping": "1 id number, 5 filename number, 7 has_functions number, 8 has_filenames number, 9 has_line_numbers number",
    "Location": "1 id number, 2 mapping_id number, 4 line Line",
    "Line": "1 function_id number, 2 line number",
    "Function": "1 id number, 2 name number, 4 filename number, 5 start_line number",
}
"""The fields of each message: their numbers, names and what they are; texts and messages are lists."""
FIELDS = {
    kind: {int(field): (name, what) for field, name, what in map(str.split, fields.split(", "))}
    for kind, fields in MESSAGES.items()
}


def number(data, place):
    """A varint as it stands, and the place behind it."""
    found = shift = 0
    while True:
        byte = data[place]
        found |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            assert found < 1 << 64 and shift <= 70
            return found, place


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def message(kind, data):
    """A message as a namespace; what it does not have is 0 or empty."""
    fields = FIELDS[kind]
    found = {name: 0 if what == "number" else [] for name, what in fields.values()}
    place = 0
    while place < len(data):
        key, place = number(data, place)
        name, what = fields[key >> 3]
        if key & 7 == 0:
            assert what == "number" and found[name] == 0
            value, place = number(data, place)
            found[name] = signed(value)
            continue
        assert key & 7 == 2 and what != "number"
        size, place = number(data, place)
        content, place = data[place : place + size], place + size
        assert len(content) == size
        if what == "numbers":
            inside = 0
            while inside < size:
                value, inside = number(content, inside)
                found[name].append(signed(value))
        else:
            found[name].append(content.decode("utf-8") if what == "text" else message(what, content))
    return SimpleNamespace(**found)


def read(path):
    """The profile in a file."""
    return profile(gzip.decompress(path.read_bytes()))


def profile(data):
    """A profile with its texts and functions in place of their numbers.

    Its ``types`` are pairs of name and unit, its ``samples`` have a ``stack`` of (name, file, first line), the innermost
    first, the ``lines`` that these were at, ``values`` by the names of types, and ``labels``.
    """
    raw = message("Profile", data)
    text = raw.string_table
    assert text[0] == "" and len(set(text)) == len(text)
    for each in (raw.mapping, raw.location, raw.function):
        assert [one.id for one in each] == list(range(1, len(each) + 1))  # Parca takes no others
    [period_type], [mapping] = raw.period_type, raw.mapping
    functions = {each.id: (text[each.name], text[each.filename], each.start_line) for each in raw.function}
    assert len(set(functions.values())) == len(functions)
    assert all(name for name, _, _ in functions.values())
    places = {}
    for each in raw.location:
        [line] = each.line
        assert each.mapping_id == mapping.id
        places[each.id] = functions[line.function_id], line.line
    assert len(set(places.values())) == len(places)
    types = [(text[each.type], text[each.unit]) for each in raw.sample_type]
    samples = []
    for each in raw.sample:
        assert len(each.value) == len(types) and any(each.value)
        assert all(value >= 0 for value in each.value)  # Pyroscope leaves such samples out, speedscope refuses the file
        values = {name: value for (name, _), value in zip(types, each.value)}
        labels = {text[label.key]: text[label.str] or label.num for label in each.label}
        assert all(labels.values()) and len(labels) == len(each.label)
        stack, lines = zip(*(places[id] for id in each.location_id))
        samples.append(SimpleNamespace(stack=list(stack), lines=list(lines), values=values, labels=labels))
    return SimpleNamespace(
        types=types,
        samples=samples,
        shown=text[raw.default_sample_type],
        file=text[mapping.filename],
        symbolized=(mapping.has_functions, mapping.has_filenames, mapping.has_line_numbers),
        began=raw.time_nanos,
        duration=raw.duration_nanos,
        period=(text[period_type.type], text[period_type.unit], raw.period),
        comments=[text[each] for each in raw.comment],
        totals={name: sum(each.values[name] for each in samples) for name, _ in types},
    )
