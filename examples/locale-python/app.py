"""Settles the language of an answer once, so that no service behind it parses `Accept-Language` (RFC 9110 §12.5.4).

The service gets the best of the offered languages in the field `x-locale`. The client is told it in
`Content-Language`, unless the service said so itself, and caches are told in `Vary`.

Configuration: `offers`, the languages separated by commas, the default first (`"en, de, pt-BR"`).
"""

import functools
import re

from componentize_py_types import Err, Ok
from wit_world import (
    exports,
    result_unit_wasi_http_types_error_code_future as transmission_future,
)
from wit_world.imports import handler, store
from wit_world.imports.wasi_http_types import ErrorCode_ConfigurationError, Request, Response

LOCALE = "x-locale"

# A language range (RFC 4647 §2.1), and its weight (RFC 9110 §12.4.2).
RANGE = re.compile(r"\s*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")


@functools.cache
def offers() -> tuple[str, ...]:
    """The languages that the configuration has. Not read when this module is loaded: that is while it is built."""
    text = store.get("offers")
    found = tuple(offer.strip() for offer in (text or "").split(",") if offer.strip())
    if not found:
        print("the configuration `offers` names no language", flush=True)
        raise Err(ErrorCode_ConfigurationError())
    return found


def wanted(field: str) -> list[tuple[float, str]]:
    """The ranges of an `Accept-Language` with their weights, as they stand; what is malformed is passed over."""
    parts = (RANGE.fullmatch(part) for part in field.split(","))
    return [(float(part[2] or 1), part[1].lower()) for part in parts if part]


def weight(offer: str, ranges: list[tuple[float, str]]) -> float:
    """How much a client wants a language: the weight of the longest range that it is in (RFC 4647 §3.4, in reverse)."""
    offer = offer.lower()
    # A client that asks for `de-AT` understands `de`, if nothing says otherwise.
    fits = [
        (len(tag) if tag != "*" else 0, q)
        for q, tag in ranges
        if tag == "*" or offer == tag or offer.startswith(tag + "-") or tag.startswith(offer + "-")
    ]
    return max(fits, default=(0, 0.0))[1]


def choose(field: str, offered: tuple[str, ...]) -> str:
    """The offer that is wanted most; the first of equals, and the first of all if none is wanted."""
    ranges = wanted(field)
    return max(offered, key=lambda offer: weight(offer, ranges))


def with_locale(request: Request, locale: str) -> Request:
    """The request with the field, and nothing that the client wrote there. Its body and trailers are the same."""
    fields = request.get_headers().clone()
    fields.set(LOCALE, [locale.encode()])
    method, path = request.get_method(), request.get_path_with_query()
    scheme, authority, options = request.get_scheme(), request.get_authority(), request.get_options()
    body, trailers = Request.consume_body(request, transmission_future(lambda: Ok(None))[1])
    request, _ = Request.new(fields, body, trailers, options)
    request.set_method(method)
    request.set_path_with_query(path)
    request.set_scheme(scheme)
    request.set_authority(authority)
    return request


def with_language(response: Response, locale: str) -> Response:
    """The response, saying which language it is in."""
    fields = response.get_headers().clone()
    if not fields.has("content-language"):
        fields.append("content-language", locale.encode())
    fields.append("vary", b"Accept-Language")
    status = response.get_status_code()
    body, trailers = Response.consume_body(response, transmission_future(lambda: Ok(None))[1])
    response, _ = Response.new(fields, body, trailers)
    response.set_status_code(status)
    return response


class Handler(exports.Handler):
    async def handle(self, request: Request) -> Response:
        asked = b",".join(request.get_headers().get("accept-language")).decode("ascii", "replace")
        locale = choose(asked, offers())
        return with_language(await handler.handle(with_locale(request, locale)), locale)
