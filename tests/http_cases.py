"""Requests as bytes, and what RFC 9110 and 9112 have a server answer to them.

A case is its name, what is sent, and the status of each answer in turn. Where the standards leave a choice, the strict
one is wanted. `EVERYWHERE` are those that any server answers so, whoever reads its HTTP.
"""

GET = b"GET /p HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
BIG = 20_000  # more than the 16 KiB that a head may have


def line(text: bytes) -> bytes:
    return text + b"\r\nHost: x\r\n\r\n"


def host(value: bytes) -> bytes:
    return b"GET /p HTTP/1.1\r\nHost:" + value + b"\r\n\r\n"


def length(*values: bytes, body: bytes = b"{}") -> bytes:
    return POST + b"".join(b"Content-Length: " + value + b"\r\n" for value in values) + b"\r\n" + body


def coding(*values: bytes, more: bytes = b"") -> bytes:
    lines = b"".join(b"Transfer-Encoding: " + value + b"\r\n" for value in values)
    return POST + lines + more + b"\r\n2\r\n{}\r\n0\r\n\r\n"


Cases = dict[str, tuple[bytes, list[int]]]

GOOD: Cases = {
    # The request line, RFC 9112, 3
    "GET": (GET + b"\r\n", [200]),
    "HEAD": (line(b"HEAD /p HTTP/1.1"), [200]),
    "POST without a body": (POST + b"\r\n", [200]),
    "PUT": (line(b"PUT /p HTTP/1.1"), [200]),
    "DELETE": (line(b"DELETE /p HTTP/1.1"), [200]),
    "OPTIONS": (line(b"OPTIONS /p HTTP/1.1"), [200]),
    "PATCH": (line(b"PATCH /p HTTP/1.1"), [200]),
    "TRACE": (line(b"TRACE /p HTTP/1.1"), [200]),
    "an empty line before the request": (b"\r\n" + GET + b"\r\n", [200]),
    "empty lines between requests": (GET + b"\r\n\r\n\r\n" + GET + b"\r\n", [200, 200]),
    "a query": (line(b"GET /p?a=b&c=%20d HTTP/1.1"), [200]),
    "an empty query": (line(b"GET /p? HTTP/1.1"), [200]),
    "two question marks": (line(b"GET /p?a?b HTTP/1.1"), [200]),
    "an escaped path": (line(b"GET /%70 HTTP/1.1"), [200]),
    "two slashes": (line(b"GET //p HTTP/1.1"), [200]),
    "dots in the path": (line(b"GET /a/../p HTTP/1.1"), [200]),
    "asterisk-form of OPTIONS": (line(b"OPTIONS * HTTP/1.1"), [200]),
    "absolute-form": (line(b"GET http://x/p HTTP/1.1"), [200]),
    "absolute-form with a port": (line(b"GET http://x:8080/p?q HTTP/1.1"), [200]),
    "absolute-form of https": (line(b"GET https://x/p HTTP/1.1"), [200]),
    # Headers, RFC 9112, 5
    "no space behind the colon": (GET + b"X-A:b\r\n\r\n", [200]),
    "tabs and spaces around a value": (GET + b"X-A: \t b \t \r\n\r\n", [200]),
    "an empty value": (GET + b"X-A:\r\n\r\n", [200]),
    "a name in capitals": (GET + b"X-CAPITALS: b\r\n\r\n", [200]),
    "every character of a token": (GET + b"!#$%&'*+-.^_`|~0aZ: b\r\n\r\n", [200]),
    "a value beyond ASCII": (GET + b"X-A: \xc3\xa9\r\n\r\n", [200]),
    "a header twice": (GET + b"X-A: b\r\nX-A: c\r\n\r\n", [200]),
    "a hundred headers": (GET + b"X-A: b\r\n" * 100 + b"\r\n", [200]),
    "a head just within the limit": (GET + b"X-A: " + b"a" * 16_000 + b"\r\n\r\n", [200]),
    # Host, RFC 9110, 7.2 and RFC 3986, 3.2.2
    "a host with a port": (host(b" example.org:8080"), [200]),
    "a host with an empty port": (host(b" example.org:"), [200]),
    "an address": (host(b" 127.0.0.1"), [200]),
    "an address of IPv6": (host(b" [::1]:80"), [200]),
    "a host with an underscore": (host(b" model_server:8080"), [200]),
    "a host with a dot at its end": (host(b" example.org."), [200]),
    # Bodies by their length, RFC 9112, 6
    "a length": (length(b"2"), [200]),
    "a length of zero": (length(b"0", body=b""), [200]),
    "a length with zeros before it": (length(b"0002"), [200]),
    "GET with a body": (GET + b"Content-Length: 2\r\n\r\n{}" + GET + b"\r\n", [200, 200]),
    # Bodies in chunks, RFC 9112, 7
    "chunks": (coding(b"chunked"), [200]),
    "chunks, spelled otherwise": (coding(b"ChunKED"), [200]),
    "no chunk": (CHUNKED + b"0\r\n\r\n", [200]),
    "a chunk's size in capitals": (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", [200]),
    "a chunk's size with zeros before it": (CHUNKED + b"002\r\n{}\r\n000\r\n\r\n", [200]),
    "an extension of a chunk": (CHUNKED + b"2;a=b\r\n{}\r\n0;c\r\n\r\n", [200]),
    "a quoted extension of a chunk": (CHUNKED + b'2;a="b;c"\r\n{}\r\n0\r\n\r\n', [200]),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\nX-A: b\r\nX-C: d\r\n\r\n" + END, [200, 200]),
    "a hundred chunks": (CHUNKED + b"1\r\n1\r\n" * 100 + b"0\r\n\r\n", [200]),
    # Connections, RFC 9112, 9, and Expect, RFC 9110, 10.1.1
    "two requests at once": (GET + b"\r\n" + GET + b"\r\n", [200, 200]),
    "POST, GET and POST at once": (length(b"2") + GET + b"\r\n" + length(b"2"), [200, 200, 200]),
    "fifty requests at once": (length(b"2") * 50, [200] * 50),
    "close": (GET + b"Connection: close\r\n\r\n", [200]),
    "close among others": (GET + b"Connection: foo, close\r\n\r\n", [200]),
    "nothing behind close is read": (GET + b"Connection: close\r\n\r\n" + GET + b"\r\n", [200]),
    "keep-alive": (GET + b"Connection: keep-alive\r\n\r\n" + END, [200, 200]),
    "HTTP/1.0": (b"GET /p HTTP/1.0\r\n\r\n", [200]),
    "HTTP/1.0 with a host": (b"GET /p HTTP/1.0\r\nHost: x\r\n\r\n", [200]),
    "HTTP/1.0 ends the connection": (b"GET /p HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + END, [200]),
    "HTTP/1.0 with a length": (b"POST /p HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", [200]),
    "100-continue": (length(b"2\r\nExpect: 100-continue"), [200]),
    "100-continue, spelled otherwise": (length(b"2\r\nExpect: 100-Continue"), [200]),
    "100-continue in HTTP/1.0 is passed over": (b"GET /p HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", [200]),
    # Offers of other protocols, RFC 9110, 7.8
    "an upgrade without Connection": (GET + b"Upgrade: h2c\r\n\r\n", [200]),
}

UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
OFFER = GET + UPGRADE + b"\r\n"

OURS: Cases = {
    "an upgrade": (OFFER + END, [200, 200]),
    "two upgrades at once": (OFFER * 2, [200, 200]),
    "fifty upgrades at once": (OFFER * 50, [200] * 50),
    "an upgrade with a body": (POST + UPGRADE + b"Content-Length: 2\r\n\r\n{}" + END, [200, 200]),
    "two upgrades with bodies": ((POST + UPGRADE + b"Content-Length: 2\r\n\r\n{}") * 2, [200, 200]),
    "an upgrade with chunks": (
        POST + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + END,
        [200] * 2,
    ),
    "a websocket": (GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + END, [200, 200]),
    "an upgrade and close": (GET + b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n" + GET + b"\r\n", [200]),
    "an upgrade, then nonsense": (OFFER + b"nonsense\r\n\r\n", [200, 400]),
    "absolute-form without a path": (line(b"GET http://x HTTP/1.1"), [200]),
    "a fault of the application": (line(b"GET /fails HTTP/1.1"), [500]),
    # The request line
    "no HTTP": (b"\x16\x03\x01 this is not HTTP\r\n\r\n", [400]),
    "nonsense": (b"nonsense\r\n\r\n", [400]),
    "an unknown method": (line(b"BREW /p HTTP/1.1"), [501]),
    "a method in small letters": (line(b"get /p HTTP/1.1"), [501]),
    "a method that begins as another": (line(b"GETS /p HTTP/1.1"), [501]),
    "a method of WebDAV": (line(b"PROPFIND /p HTTP/1.1"), [501]),
    "a method of RTSP": (b"PLAY /p RTSP/1.0\r\n\r\n", [501]),
    "an unknown method behind a good request": (GET + b"\r\n" + line(b"BREW /p HTTP/1.1"), [200, 501]),
    "a method that is no token": (line(b"GE(T /p HTTP/1.1"), [400]),
    "a space before the method": (line(b" GET /p HTTP/1.1"), [400]),
    "a tab behind the method": (line(b"GET\t/p HTTP/1.1"), [400]),
    "CONNECT": (line(b"CONNECT example.org:443 HTTP/1.1"), [400]),
    "no version": (b"GET /p\r\n\r\n", [505]),
    "HTTP/0.9": (line(b"GET /p HTTP/0.9"), [505]),
    "HTTP/1.2": (line(b"GET /p HTTP/1.2"), [505]),
    "HTTP/2.0": (line(b"GET /p HTTP/2.0"), [505]),
    "HTTP/3.0": (line(b"GET /p HTTP/3.0"), [505]),
    "HTTP/9.9": (line(b"GET /p HTTP/9.9"), [505]),
    "HTTP/2 without TLS": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505]),
    "a version without a dot": (line(b"GET /p HTTP/1"), [400]),
    "a version in small letters": (line(b"GET /p http/1.1"), [400]),
    "a version of something else": (line(b"GET /p HTTX/1.1"), [400]),
    "a version with too many digits": (line(b"GET /p HTTP/1.10"), [400]),
    "a space in the target": (line(b"GET /a b HTTP/1.1"), [400]),
    "a space behind the version": (line(b"GET /p HTTP/1.1 "), [400]),
    "a fragment in the target": (line(b"GET /p#f HTTP/1.1"), [400]),
    "a target without a slash": (line(b"GET p HTTP/1.1"), [400]),
    "asterisk-form of GET": (line(b"GET * HTTP/1.1"), [400]),
    "authority-form of GET": (line(b"GET x:80 HTTP/1.1"), [400]),
    "absolute-form with a user": (line(b"GET http://u:p@x/p HTTP/1.1"), [400]),
    "absolute-form of another scheme": (line(b"GET ftp://x/p HTTP/1.1"), [400]),
    "absolute-form without a host": (line(b"GET http:///p HTTP/1.1"), [400]),
    "a target beyond ASCII": (line(b"GET /\xc3\xa9 HTTP/1.1"), [400]),
    "a NUL in the target": (line(b"GET /\x00 HTTP/1.1"), [400]),
    "a DEL in the target": (line(b"GET /\x7f HTTP/1.1"), [400]),
    "a bare line feed behind the line": (b"GET /p HTTP/1.1\nHost: x\n\n", [400]),
    "a bare carriage return behind the line": (b"GET /p HTTP/1.1\rHost: x\r\r", [400]),
    # Headers
    "a space before the colon": (GET + b"Content-Length : 0\r\n\r\n", [400]),
    "a tab before the colon": (GET + b"X-A\t: b\r\n\r\n", [400]),
    "a folded header": (GET + b"X-A: b\r\n c\r\n\r\n", [400]),
    "a folded header with a tab": (GET + b"X-A: b\r\n\tc\r\n\r\n", [400]),
    "a space before the first header": (b"GET /p HTTP/1.1\r\n Host: x\r\n\r\n", [400]),
    "a header without a colon": (GET + b"nonsense\r\n\r\n", [400]),
    "a header without a name": (GET + b": b\r\n\r\n", [400]),
    "a name that is no token": (GET + b"X(A): b\r\n\r\n", [400]),
    "a name beyond ASCII": (GET + b"X-\xc3\xa9: b\r\n\r\n", [400]),
    "a NUL in a value": (GET + b"X-A: \x00\r\n\r\n", [400]),
    "a DEL in a value": (GET + b"X-A: \x7f\r\n\r\n", [400]),
    "a carriage return in a value": (GET + b"X-A: b\rc\r\n\r\n", [400]),
    "a bare line feed behind a header": (GET + b"X-A: b\n\r\n", [400]),
    "a bare line feed behind the head": (GET + b"X-A: b\r\n\n", [400]),
    # Host
    "no host": (b"GET /p HTTP/1.1\r\n\r\n", [400]),
    "an empty host": (host(b""), [400]),
    "a host of spaces": (host(b"   "), [400]),
    "two hosts": (GET + b"Host: y\r\n\r\n", [400]),
    "the same host twice": (GET + b"Host: x\r\n\r\n", [400]),
    "two hosts in one": (host(b" x, y"), [400]),
    "two hosts in one without a space": (host(b" x,y"), [400]),
    "a host that is none": (host(b" a b/c@d"), [400]),
    "a host with a path": (host(b" x/p"), [400]),
    "a host with a user": (host(b" u@x"), [400]),
    "a host with a scheme": (host(b" http://x"), [400]),
    "a host with a port that is none": (host(b" x:http"), [400]),
    "a host with two ports": (host(b" x:1:2"), [400]),
    "an open address of IPv6": (host(b" [::1"), [400]),
    "a host beyond ASCII": (host(b" \xc3\xa9"), [400]),
    "absolute-form with a host that is none": (line(b"GET http://x:y/p HTTP/1.1"), [400]),
    # Lengths
    "length and chunks": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    "chunks and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", [400]),
    "two lengths": (length(b"2", b"40"), [400]),
    "the same length twice": (length(b"2", b"2"), [400]),
    "two lengths in one": (length(b"2, 2"), [400]),
    "an empty length": (length(b""), [400]),
    "a negative length": (length(b"-2"), [400]),
    "a signed length": (length(b"+2"), [400]),
    "a hexadecimal length": (length(b"0x2"), [400]),
    "a length with an underscore": (length(b"1_0"), [400]),
    "a length with a space in it": (length(b"1 0"), [400]),
    "a length with a fraction": (length(b"2.0"), [400]),
    "an endless length": (length(b"9" * 40), [400]),
    "a body longer than its length": (length(b"2", body=b"{}nonsense\r\n\r\n"), [200, 400]),
    # Codings and chunks
    "another coding before chunks": (coding(b"gzip, chunked"), [501]),
    "another coding before chunks, in two headers": (coding(b"gzip", b"chunked"), [501]),
    "an unknown coding": (coding(b"xchunked"), [501]),
    "another coding alone": (coding(b"gzip"), [501]),
    "identity": (coding(b"identity"), [501]),
    "chunks with a parameter": (coding(b"chunked;q=1"), [501]),
    "an empty coding before chunks": (coding(b", chunked"), [501]),
    "chunks that are not last": (coding(b"chunked, identity"), [400]),
    "chunks twice": (coding(b"chunked, chunked"), [400]),
    "chunks twice, in two headers": (coding(b"chunked", b"chunked"), [400]),
    "chunks with a vertical tab": (coding(b"\x0bchunked"), [400]),
    "an empty coding": (coding(b""), [400]),
    "a quoted coding": (coding(b'"chunked"'), [501]),
    "chunks in HTTP/1.0": (b"POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    "a chunk's size that is none": (CHUNKED + b"xyz\r\n{}\r\n0\r\n\r\n", [400]),
    "an empty chunk's size": (CHUNKED + b"\r\n{}\r\n0\r\n\r\n", [400]),
    "a negative chunk": (CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", [400]),
    "a signed chunk": (CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n", [400]),
    "a chunk's size with 0x": (CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n", [400]),
    "a space before a chunk's size": (CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n", [400]),
    "a space behind a chunk's size": (CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n", [400]),
    "an endless chunk": (CHUNKED + b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n", [400]),
    "a chunk longer than it says": (CHUNKED + b"1\r\n{}\r\n0\r\n\r\n", [400]),
    "a chunk shorter than it says": (CHUNKED + b"5\r\n{}\r\n0\r\n\r\n", [400]),
    "a bare line feed behind a chunk's size": (CHUNKED + b"2\n{}\r\n0\r\n\r\n", [400]),
    "a bare line feed behind a chunk": (CHUNKED + b"2\r\n{}\n0\r\n\r\n", [400]),
    "a line feed in an extension": (CHUNKED + b"2;a\nb\r\n{}\r\n0\r\n\r\n", [400]),
    "a trailer that is none": (CHUNKED + b"2\r\n{}\r\n0\r\nnonsense\r\n\r\n", [400]),
    "a length among the trailers": (CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n", [400]),
    # Expectations
    "another expectation": (length(b"2\r\nExpect: 200-ok"), [417]),
    # Sizes, RFC 9112, 2.3 and 3: what is no body has a limit, wherever it stands
    "a huge target": (line(b"GET /" + b"a" * BIG + b" HTTP/1.1"), [431]),
    "a huge query": (line(b"GET /?" + b"a" * BIG + b" HTTP/1.1"), [431]),
    "a huge value": (GET + b"X-A: " + b"a" * BIG + b"\r\n\r\n", [431]),
    "a huge name": (GET + b"a" * BIG + b": b\r\n\r\n", [431]),
    "thousands of headers": (GET + b"A: b\r\n" * 5_000 + b"\r\n", [431]),
    "a huge head behind a good request": (GET + b"\r\n" + GET + b"X-A: " + b"a" * BIG + b"\r\n\r\n", [200, 431]),
    "endless empty lines": (b"\r\n" * 500_000 + GET + b"\r\n", [431]),
    "endless empty lines behind a request": (GET + b"\r\n" + b"\r\n" * 500_000, [200, 431]),
    "an endless trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nX-A: " + b"a" * 1_000_000, [431]),
    "a huge trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nX-A: " + b"a" * BIG + b"\r\n\r\n", [431]),
    "thousands of trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 5_000 + b"\r\n", [431]),
    "endless zeros of a chunk's size": (CHUNKED + b"0" * 1_000_000 + b"5\r\n{}", [431]),
    "endless zeros of the last chunk's size": (CHUNKED + b"2\r\n{}\r\n" + b"0" * 1_000_000, [431]),
    "an endless extension": (CHUNKED + b"2;a=" + b"a" * 1_000_000 + b"\r\n{}\r\n0\r\n\r\n", [431]),
    "many extensions": (CHUNKED + (b"1;a=" + b"a" * 1_000 + b"\r\n1\r\n") * 1_000 + b"0\r\n\r\n", [431]),
    "many tiny chunks": (CHUNKED + b"1\r\n1\r\n" * 200_000 + b"0\r\n\r\n", [431]),
}
