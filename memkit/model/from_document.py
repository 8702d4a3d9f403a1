"""Reading a recording back from the document that ``--json`` writes and that a page holds."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import types
import typing
import zlib
from dataclasses import fields, replace
from functools import cache
from typing import Any

from memkit.base.errors import FormatError
from memkit.model.file_format import DOCUMENTS
from memkit.model.recording import Recording
from memkit.model.row_values import attributes_of

FORMAT = 1
"""The number that a document begins with. It rises where a key means something else, or is no longer there."""
_HELD = re.compile(rb'<script type="application/gzip" id="recording">\s*([A-Za-z0-9+/=\s]*)</script>')
_OTHERS = {"comparison": "a comparison", "fit": "a fit", "advice": "advice"}
"""Documents that are none of a recording."""
_LARGEST = 1 << 30
"""Bytes of a document."""
_GZIP = 16 + zlib.MAX_WBITS
_ROOM, _RATIO = 1 << 20, 100
"""A page's unpacks to at most so many bytes and so many times its size: thousands of alike rows to 25 times theirs."""


def read(path: str) -> Recording:
    """The recording in a page or a document, as far as that has it: a page has fewer samples and calls.

    Raises ``FormatError``.
    """
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > _LARGEST:
                raise FormatError(f"{path!r} has more than {_LARGEST >> 30} GiB: it is no document that memkit reads")
            content = file.read()  # of so many bytes at most it would make room for all of them first
    except OSError as error:
        raise FormatError(f"cannot read {path!r}: {error.strerror}") from None
    if content.startswith(DOCUMENTS[0]):
        content = _held(path, content)
    try:
        document = json.loads(content)
        if not isinstance(document, dict):
            raise TypeError
    except (ValueError, TypeError, RecursionError):
        raise FormatError(f"{path!r} is broken off or damaged: what it holds is not a whole JSON document") from None
    if document.get("kind") in _OTHERS:
        raise FormatError(f"{path!r} is {_OTHERS[document['kind']]}, not a recording")
    if document.get("format") != FORMAT:
        shown = repr(document.get("format"))[:40]
        raise FormatError(f"{path!r} holds a document of format {shown} and this memkit reads {FORMAT}")
    try:
        return recording_of(document, path)
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise FormatError(f"{path!r} is damaged: {str(error)[:80] or type(error).__name__}") from None


def _held(path: str, page: bytes) -> bytes:
    """The document that a page holds."""
    found = _HELD.search(page)
    if found is None and b' id="comparison">' in page:
        raise FormatError(f"{path!r} is the page of a comparison, not of a recording")
    if found is None:
        raise FormatError(f"{path!r} is a page that breaks off: the recording in it is not whole")
    unpacking = zlib.decompressobj(_GZIP)
    try:
        packed = base64.b64decode(found[1])
        document = unpacking.decompress(packed, _ROOM + _RATIO * len(packed))
        if not unpacking.eof:
            raise zlib.error
    except (zlib.error, binascii.Error):
        raise FormatError(f"{path!r} is a damaged page: the recording in it cannot be unpacked") from None
    return document


def recording_of(document: dict[str, Any], source: str | None = None) -> Recording:
    """The recording that a document is of. Raises ``TypeError``, ``ValueError`` or ``KeyError`` where it is damaged."""
    values = dict(document)
    values["executed"] = [(each["time"], each["command"]) for each in document.get("executed", ())]
    values["sources"] = list(document.get("sources", {}).items())
    values["snapshot"] = document.get("glance")
    values["oom_kills"] = document.get("oom_kills_evidence")
    values["ending"] = _ending(document["ending"])
    values["processes"] = [{**each, "ending": _ending(each["ending"])} for each in document["processes"]]
    values["calls"] = [_call(each) for each in document.get("calls", ())]
    values["spans"] = [{**each, "attributes": ()} for each in document.get("spans", ())]
    types_of = _hints(Recording)
    known = {
        field.name: _value(types_of[field.name], values[field.name])
        for field in fields(Recording)
        if field.name in values and field.name not in ("source", "replaced")
    }
    recording = Recording(**known, source=source)
    given = [attributes_of(each.get("attributes")) for each in document.get("spans", ())]
    spans = tuple(span._replace(attributes=attributes) for span, attributes in zip(recording.spans, given))
    recording = replace(recording, spans=spans)
    ids: set[int] = set()
    for call in recording.calls:
        if call.parent is not None and call.parent not in ids:
            raise ValueError(f"call {call.id} has no caller {call.parent}")
        ids.add(call.id)
    return recording


def _ending(ending: dict[str, Any]) -> dict[str, Any]:
    return {**ending, "out_of_memory": ending["evidence"]}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    alone = call.get("alone")
    return {**call, "alone": alone and [alone["rise"], alone["rises"]]}


@cache
def _hints(of: type) -> dict[str, Any]:
    return typing.get_type_hints(of)


def _value(wanted: Any, value: Any) -> Any:
    """A value of a document as one of a type: a row from an object, a tuple from an array. Raises where it is another."""
    if isinstance(wanted, types.UnionType) or typing.get_origin(wanted) is typing.Union:
        choices = typing.get_args(wanted)
        if value is None and types.NoneType in choices:
            return None
        [wanted] = [choice for choice in choices if choice is not types.NoneType]
    if typing.get_origin(wanted) is tuple:
        return _items(typing.get_args(wanted), value)
    if hasattr(wanted, "_fields"):
        return _row(wanted, value)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise TypeError(f"{os.fsdecode(repr(value)[:40])} is no {wanted.__name__}")
    return value


def _items(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{repr(value)[:40]} is no array")
    if kinds[1:] == (...,):
        return tuple(_value(kinds[0], each) for each in value)
    if len(value) != len(kinds):
        raise TypeError(f"an array of {len(value)} where {len(kinds)} were expected")
    return tuple(map(_value, kinds, value))


def _row(kind: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{repr(value)[:40]} is no object")
    hints = _hints(kind)
    found = {name: _value(hints[name], value[name]) for name in kind._fields if name in value}
    return kind(**found)  # TypeError for one that lacks a key
