//! `Cookie` headers: reading tokens, stripping them and extracting a request key, against a naive splitter.
//!
//! The first line of an input is the cookie's name (`homing` if it is not a valid name), each other line a `Cookie`
//! header.

use homing::http::cookie::{MAX_TOKENS, Stripped, strip, tokens};
use homing::http::{CookieName, RequestKey};

/// Splits a header into its pairs, unchanged, each with its value if it is a cookie of this name.
pub type Splitter = for<'a> fn(&'a [u8], &str) -> Vec<(&'a [u8], Option<&'a [u8]>)>;

/// Panics if [`tokens`], [`strip`] or a [`RequestKey`] disagrees with [`split`].
pub fn check(data: &[u8]) {
    check_against(data, split);
}

/// As [`check`], against another splitter.
pub fn check_against(data: &[u8], split: Splitter) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let name = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse::<CookieName>().ok());
    let name = name.unwrap_or_default();
    let headers: Vec<&[u8]> = lines.collect();

    let ours = |header| split(header, name.as_str()).into_iter().filter_map(|(_, value)| value);
    let expected: Vec<&[u8]> = headers.iter().flat_map(|header| ours(header)).take(MAX_TOKENS).collect();
    assert_eq!(&*tokens(headers.iter().copied(), &name), &expected[..], "tokens of {headers:?}");

    let key = RequestKey::Cookie(name.clone());
    let found = key.of("/", |field| match field {
        "cookie" => headers.clone(),
        _ => Vec::new(),
    });
    assert_eq!(found, expected.first().copied().filter(|value| !value.is_empty()), "key of {headers:?}");

    for header in headers {
        let stripped = strip(header, &name);
        assert_eq!(stripped, naive_strip(&split(header, name.as_str())), "strip of {header:?}");
        if let Stripped::Rest(rest) = stripped {
            assert!(tokens([&rest[..]], &name).is_empty(), "a token of {header:?} survived in {rest:?}");
            assert_eq!(strip(&rest, &name), Stripped::Unchanged, "strip again of {header:?}");
        }
    }
}

/// The inverse of RFC 6265, section 5.4: `;` separates pairs, the first `=` separates name and value.
pub fn split<'a>(header: &'a [u8], name: &str) -> Vec<(&'a [u8], Option<&'a [u8]>)> {
    let value = |pair: &'a [u8]| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        (trim(&pair[..equals]) == name.as_bytes()).then(|| unquoted(trim(&pair[equals + 1..])))
    };
    header.split(|byte| *byte == b';').map(|pair| (pair, value(pair))).collect()
}

fn naive_strip(pairs: &[(&[u8], Option<&[u8]>)]) -> Stripped {
    let others: Vec<&[u8]> = pairs.iter().filter(|(_, value)| value.is_none()).map(|(pair, _)| *pair).collect();
    let joined = others.join(&b';');
    let blanks = joined.iter().take_while(|byte| is_blank(**byte)).count();
    // Blanks before the new first pair are removed with its separator; those of an empty pair in between remain.
    let rest = joined[blanks..].to_vec();
    if others.len() == pairs.len() {
        Stripped::Unchanged
    } else if rest.iter().all(|byte| *byte == b';' || is_blank(*byte)) {
        Stripped::Empty
    } else {
        Stripped::Rest(rest)
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(bytes: &[u8]) -> &[u8] {
    let Some(first) = bytes.iter().position(|byte| !is_blank(*byte)) else { return &[] };
    let last = bytes.iter().rposition(|byte| !is_blank(*byte)).unwrap_or(first);
    &bytes[first..=last]
}
