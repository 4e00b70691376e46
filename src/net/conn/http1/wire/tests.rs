use super::*;

const MAX_EXTENSIONS: usize = 256;

/// How much of `text` passes at most, and why not more. The reason is the same for every way to cut the text into
/// reads.
fn admitted(text: &str) -> (usize, Option<Fault>) {
    let bytes = text.as_bytes();
    let mut whole = Wire::new(MAX_EXTENSIONS);
    let mut most = whole.admit(bytes);
    for size in [1, 2, 3, 7] {
        let mut cut = Wire::new(MAX_EXTENSIONS);
        let mut sum = 0;
        for piece in bytes.chunks(size) {
            let count = cut.admit(piece);
            sum += count;
            if count < piece.len() {
                break;
            }
        }
        most = most.max(sum);
        assert_eq!(cut.state, whole.state, "in pieces of {size}: {text:?}");
    }
    (most, whole.fault())
}

#[test]
fn good_messages_go_through_whole_and_leave_the_next_one_to_begin() {
    for text in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "\r\nGET /a?b HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\ncontent-length:\t5 \t\r\n\r\nhello",
        "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-ENCODING: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked \r\n\r\n00A;x=\"y\"\r\n0123456789\r\n1\r\n\n\r\n0;last\r\nx: y\r\n\r\n",
        "GET / HTTP/1.1\r\nx:\r\ny: \u{e9}\t\"\r\nx-content-length: 5\r\ncontent-lengthy: 7\r\ntransfer-encodings: x\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\ncontent-length: x\r\n\r\n",
    ] {
        for times in 1..=2 {
            let text = text.repeat(times);
            assert_eq!(admitted(&text), (text.len(), None), "{text:?}");
            let mut wire = Wire::new(MAX_EXTENSIONS);
            wire.admit(text.as_bytes());
            assert_eq!(wire.state, State::Start { skipped: false }, "{text:?}");
        }
    }
}

#[test]
fn the_first_bad_byte_is_refused_and_a_bad_head_never_ends() {
    use Fault::*;
    let head = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
    let chunks = |text: &str| format!("{}{text}", head("transfer-encoding: chunked"));
    let cases = [
        ("\n".to_owned(), RequestLine),
        ("\r\n\r\n".to_owned(), RequestLine),
        (" GET".to_owned(), RequestLine),
        ("GET\t/".to_owned(), RequestLine),
        ("GET  /".to_owned(), Target),
        ("GET /\0".to_owned(), Target),
        ("GET /a#b".to_owned(), Target),
        ("GET /\r\n".to_owned(), Target),
        ("GET / http/1.1".to_owned(), Version),
        ("GET / HTTP/2.0".to_owned(), Version),
        ("GET / HTTP/1.2".to_owned(), Version),
        ("GET / HTTP/1.1 \r\n".to_owned(), LineEnd),
        ("GET / HTTP/1.1\n".to_owned(), LineEnd),
        ("GET / HTTP/1.1\r\nx: y\n".to_owned(), LineEnd),
        ("GET / HTTP/1.1\r\nx: y\r\n\n".to_owned(), FieldName),
        ("GET / HTTP/1.1\r\nx: y\r\n\rz".to_owned(), LineEnd),
        ("GET / HTTP/1.1\r\nx: y\rz".to_owned(), LineEnd),
        (head("x: y\r\n z"), Folded),
        (head(" x: y"), Folded),
        (head("x : y"), FieldName),
        (head(": y"), FieldName),
        (head("x"), FieldName),
        (head("x: a\0b"), FieldValue),
        (head("x: a\u{7f}b"), FieldValue),
        (head("content-length: "), ContentLength),
        (head("content-length: +5"), ContentLength),
        (head("content-length: 5, 5"), ContentLength),
        (head("content-length: 5 5"), ContentLength),
        (head("content-length: 0x5"), ContentLength),
        (head("content-length: 18446744073709551616"), ContentLength),
        (head("content-length: 5\r\ncontent-length: 5"), ContentLength),
        (head("transfer-encoding: gzip, chunked"), TransferEncoding),
        (head("transfer-encoding: chunked, chunked"), TransferEncoding),
        (head("transfer-encoding: chunke"), TransferEncoding),
        (head("transfer-encoding: chunkedx"), TransferEncoding),
        (head("transfer-encoding: \"chunked\""), TransferEncoding),
        (head("transfer-encoding: chunked\r\ntransfer-encoding: identity"), TransferEncoding),
        ("POST / HTTP/1.0\r\ntransfer-encoding: chunked".to_owned(), TransferEncoding),
        (head("content-length: 5\r\ntransfer-encoding: chunked"), BothLengths),
        (head("transfer-encoding: chunked\r\ncontent-length: 0"), BothLengths),
        (chunks("\r\n"), ChunkSize),
        (chunks(" 5\r\n"), ChunkSize),
        (chunks("5 \r\n"), ChunkSize),
        (chunks("0x5\r\n"), ChunkSize),
        (chunks("-1\r\n"), ChunkSize),
        (chunks("5\n"), ChunkSize),
        (chunks("00000000000000005"), ChunkSize),
        (chunks("5;\n"), ChunkExtension),
        (chunks("5;a\0"), ChunkExtension),
        (chunks("5\r5"), LineEnd),
        (chunks("5\r\nhello5"), ChunkEnd),
        (chunks("5\r\nhello\n"), ChunkEnd),
        (chunks("5\r\nhello\r0"), ChunkEnd),
        (chunks("0\r\n x: y\r\n"), Folded),
        (chunks("0\r\nx y\r\n"), FieldName),
        (chunks("0\r\n\n"), FieldName),
    ];
    for (text, fault) in cases {
        let (count, found) = admitted(&text);
        assert_eq!(found, Some(fault), "{text:?}");
        let through = &text[..count];
        let is_body = text.contains("\r\n\r\n") && text.contains("chunked\r\n\r\n") && fault != BothLengths;
        assert!(is_body || !through.ends_with("\r\n\r\n"), "a whole head went through: {through:?}");
    }
}

#[test]
fn extensions_are_counted_over_a_body() {
    let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |length: usize| format!("1;{}\r\nx\r\n", "e".repeat(length));
    let good = format!("{head}{}0\r\n\r\n", chunk(MAX_EXTENSIONS / 4).repeat(4));
    assert_eq!(admitted(&good).1, None);
    assert_eq!(admitted(&good.repeat(2)).1, None, "each body anew");
    let (count, fault) = admitted(&format!("{head}{}{}", chunk(MAX_EXTENSIONS / 4).repeat(4), chunk(1)));
    assert_eq!(fault, Some(Fault::ChunkExtension), "{count}");
    assert_eq!(admitted(&format!("{head}1;{}", "e".repeat(40_000))).1, Some(Fault::ChunkExtension));
}

#[test]
fn what_stands_in_for_refused_bytes_comes_in_parts_and_once() {
    let mut wire = Wire::new(MAX_EXTENSIONS);
    assert_eq!(wire.admit(b"GET / HTTP/1.1\n"), 14);
    assert_eq!((wire.refusal(2), wire.refusal(9), wire.refusal(9)), (&b"\0\r"[..], &b"\n\r\n"[..], &b""[..]));
    assert_eq!(wire.admit(b"GET"), 0, "for good");
}
