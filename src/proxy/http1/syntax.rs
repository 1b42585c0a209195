//! The small grammar that requests and responses share.

/// Appends a header field as a line.
pub(crate) fn line(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// The value of `Content-Length`: digits alone.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    let digit = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if value.is_empty() { None } else { value.iter().try_fold(0, digit) }
}

/// Whether `head` has a line feed without a carriage return before it. Such a byte ends a line only for some parsers,
/// which is how requests are smuggled. (A carriage return alone is an error to httparse.)
pub(super) fn has_bare_line_end(head: &[u8]) -> bool {
    // Without a branch a byte, many are compared at once.
    let is_bare = |(before, byte): (&u8, &u8)| (*byte == b'\n') & (*before != b'\r');
    head[0] == b'\n' || head.iter().zip(&head[1..]).fold(false, |any, pair| any | is_bare(pair))
}
