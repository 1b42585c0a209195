//! Affinity cookies in `Cookie` request headers: reads ours and those of legacy proxies, and strips ours.
//!
//! Pairs end at `;` and nowhere else, as in browsers (RFC 6265, section 4.2.1): a `;` within quotes ends a pair too.
//! Reading and stripping apply the same rule, so a token that was read never reaches the upstream.

use std::ops::Deref;

use super::CookieName;
use crate::affinity::{AcceptedCookie, LegacyCookie, MAX_ACCEPTED, MAX_VALUES};

/// The most cookies of our name that are read in one request; further ones are ignored.
///
/// A browser sends several where the name was set for several paths or domains.
pub const MAX_TOKENS: usize = crate::affinity::MAX_TOKENS;

/// The values of up to [`MAX_TOKENS`] cookies of one name, in the order of the headers.
///
/// Borrows the headers and allocates nothing. Dereferences to a slice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokens<'a> {
    values: [&'a [u8]; MAX_TOKENS],
    len: usize,
}

impl<'a> Deref for Tokens<'a> {
    type Target = [&'a [u8]];

    fn deref(&self) -> &Self::Target {
        &self.values[..self.len]
    }
}

/// The values of the cookies called `name` in `headers`, each the value of one `Cookie` line.
///
/// Ignores spaces and tabs around a pair, its name and its value, and one pair of double quotes around the value. A
/// value may be empty or any bytes, and is untrusted. Takes one pass over the headers, which ends at the fourth value;
/// does not allocate.
///
/// ```
/// use homing::http::{CookieName, cookie::tokens};
///
/// let name = CookieName::new("homing")?;
/// let found = tokens([&b"theme=dark; homing=abc;homing=\"def\""[..]], &name);
/// assert_eq!(&found[..], [b"abc", b"def"]);
/// # Ok::<(), homing::http::CookieNameError>(())
/// ```
pub fn tokens<'a>(headers: impl IntoIterator<Item = &'a [u8]>, name: &CookieName) -> Tokens<'a> {
    let mut found = Tokens::default();
    for value in values(headers, name.as_str()).take(MAX_TOKENS) {
        found.values[found.len] = value;
        found.len += 1;
    }
    found
}

/// The legacy cookies of one request, in order of precedence.
///
/// Borrows the headers and allocates nothing. Dereferences to a slice.
#[derive(Debug, Clone, Copy, Default)]
pub struct LegacyCookies<'a> {
    values: [LegacyCookie<'a>; MAX_VALUES],
    len: usize,
}

impl<'a> Deref for LegacyCookies<'a> {
    type Target = [LegacyCookie<'a>];

    fn deref(&self) -> &Self::Target {
        &self.values[..self.len]
    }
}

/// The values of the [accepted](crate::Affinity::accepted) legacy cookies, those of the first name first, at most
/// [`MAX_TOKENS`] of each name. `headers` is called once for each name and returns the values of the `Cookie` lines,
/// which are parsed as by [`tokens`]. Does not allocate.
///
/// Legacy cookies are forwarded to the upstream unchanged: with some formats they are the application's own cookies.
///
/// ```
/// use homing::affinity::{AcceptedCookie, LegacyFormat};
/// use homing::http::cookie::legacy_cookies;
///
/// let srv = AcceptedCookie::new(LegacyFormat::HaProxy, "SRV");
/// let route = AcceptedCookie::new(LegacyFormat::NginxRoute, "JSESSIONID");
/// let accepted = [srv, route];
/// let found = legacy_cookies(|| [&b"JSESSIONID=2B6F.app-1; SRV=app-2"[..]], &accepted);
/// assert_eq!((found[0].accept, found[0].value), (0, &b"app-2"[..]));
/// assert_eq!((found[1].accept, found[1].value), (1, &b"2B6F.app-1"[..]));
/// ```
pub fn legacy_cookies<'a, I: IntoIterator<Item = &'a [u8]>>(
    headers: impl Fn() -> I,
    accepted: &[AcceptedCookie],
) -> LegacyCookies<'a> {
    let mut found = LegacyCookies::default();
    for (accept, kind) in accepted.iter().take(MAX_ACCEPTED).enumerate() {
        for value in values(headers(), kind.cookie()).take(MAX_TOKENS) {
            found.values[found.len] = LegacyCookie { accept, value };
            found.len += 1;
        }
    }
    found
}

/// The values of all cookies called `name`, in order.
fn values<'a>(headers: impl IntoIterator<Item = &'a [u8]>, name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers.into_iter().flat_map(Pairs::new).filter_map(move |pair| value_of(pair, name))
}

/// The result of [`strip`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stripped {
    /// The header has no cookie of that name: forward it unchanged.
    Unchanged,
    /// The header has no other cookies: remove it.
    Empty,
    /// Forward this value instead.
    Rest(Vec<u8>),
}

/// Removes every cookie called `name` from `header`, the value of one `Cookie` line.
///
/// All other pairs keep their order, their bytes and the separator before them; only the separator before the new first
/// pair is removed. Idempotent. Allocates one vector, and only if a cookie of that name is found.
///
/// ```
/// use homing::http::CookieName;
/// use homing::http::cookie::{Stripped, strip};
///
/// let name = CookieName::new("homing")?;
/// assert_eq!(strip(b"a=1; homing=abc;  b=2", &name), Stripped::Rest(b"a=1;  b=2".to_vec()));
/// assert_eq!(strip(b"homing=abc", &name), Stripped::Empty);
/// assert_eq!(strip(b"a=1", &name), Stripped::Unchanged);
/// # Ok::<(), homing::http::CookieNameError>(())
/// ```
pub fn strip(header: &[u8], name: &CookieName) -> Stripped {
    let is_ours = |pair: &[u8]| value_of(pair, name.as_str()).is_some();
    if !Pairs::new(header).any(is_ours) {
        return Stripped::Unchanged;
    }
    let mut rest = Vec::with_capacity(header.len());
    let mut others = Pairs::new(header).filter(|pair| !is_ours(pair));
    if let Some(first) = others.next() {
        rest.extend_from_slice(trim_start(first));
    }
    for pair in others {
        rest.push(b';');
        rest.extend_from_slice(pair);
    }
    if rest.iter().all(|&b| b == b';' || is_space(b)) {
        return Stripped::Empty;
    }
    Stripped::Rest(rest)
}

/// The value of `pair` if it is a cookie called `name`.
fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (head, rest) = trim_start(pair).split_at_checked(name.len())?;
    // The position of the `=` rules out nearly every other cookie before names are compared.
    let value = trim_start(rest).strip_prefix(b"=")?;
    (head == name.as_bytes()).then(|| unquote(trim_end(trim_start(value))))
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        bare => bare,
    }
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    bytes
}

fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Iterates over the parts of a `Cookie` header between its semicolons, including spaces.
struct Pairs<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Pairs<'a> {
    fn new(header: &'a [u8]) -> Self {
        Self { rest: Some(header) }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        match semicolon(rest) {
            Some(at) => {
                self.rest = Some(&rest[at + 1..]);
                Some(&rest[..at])
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

/// The index of the first `;`; examines eight bytes a step (SWAR).
fn semicolon(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    const SEMICOLONS: u64 = u64::from_le_bytes([b';'; 8]);

    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        // A semicolon becomes a zero byte. A borrow may also mark bytes above the first zero byte
        // but none below it, so the lowest mark is exact.
        let zeroed = u64::from_le_bytes(*word) ^ SEMICOLONS;
        let marks = zeroed.wrapping_sub(ONES) & !zeroed & HIGHS;
        if marks != 0 {
            return Some(index * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let at = tail.iter().position(|&b| b == b';')?;
    Some(words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::affinity::LegacyFormat;

    fn homing() -> CookieName {
        CookieName::new("homing").unwrap()
    }

    fn found(headers: &[&str]) -> Vec<String> {
        tokens(headers.iter().map(|h| h.as_bytes()), &homing())
            .iter()
            .map(|v| String::from_utf8_lossy(v).into_owned())
            .collect()
    }

    fn stripped(header: &str) -> Option<String> {
        match strip(header.as_bytes(), &homing()) {
            Stripped::Unchanged => Some(header.to_owned()),
            Stripped::Empty => None,
            Stripped::Rest(rest) => Some(String::from_utf8(rest).unwrap()),
        }
    }

    #[test]
    fn values_are_found_in_order() {
        assert_eq!(found(&["homing=a"]), ["a"]);
        assert_eq!(found(&["x=1; homing=a; y=2; homing=b"]), ["a", "b"]);
        assert_eq!(found(&["homing=a", "x=1", "homing=b; homing=c"]), ["a", "b", "c"]);
        assert_eq!(found(&["homing=1;homing=2;homing=3", "homing=4;homing=5"]), ["1", "2", "3", "4"]);
        assert!(found(&[]).is_empty());
        assert!(found(&["", ";", " ; ;", "homing", "=homing"]).is_empty());
    }

    #[test]
    fn legacy_cookies_come_in_the_order_in_which_they_are_accepted() {
        let accepted = ["SRV", "route"].map(|name| AcceptedCookie::new(LegacyFormat::HaProxy, name));
        let found = |headers: &[&'static str]| -> Vec<_> {
            let found = legacy_cookies(|| headers.iter().map(|header| header.as_bytes()), &accepted);
            found.iter().map(|it| (it.accept, String::from_utf8_lossy(it.value).into_owned())).collect()
        };
        let expect =
            |pairs: &[(usize, &str)]| -> Vec<_> { pairs.iter().map(|(n, text)| (*n, (*text).into())).collect() };
        assert_eq!(found(&["route=a; SRV=\"b\"", "SRV = c"]), expect(&[(0, "b"), (0, "c"), (1, "a")]));
        assert_eq!(found(&["homing=a; srv=b; SRV2=c; route"]), []);
        let many = found(&["SRV=1;SRV=2;SRV=3;SRV=4;SRV=5;SRV=6", "route=7"]);
        assert_eq!(many, expect(&[(0, "1"), (0, "2"), (0, "3"), (0, "4"), (1, "7")]));
        assert!(legacy_cookies(|| [&b"SRV=a"[..]], &[]).is_empty());
        let crowd = vec![accepted[0].clone(); 9];
        assert_eq!(legacy_cookies(|| [&b"SRV=1;SRV=2;SRV=3;SRV=4"[..]], &crowd).len(), MAX_VALUES);
    }

    #[test]
    fn spaces_and_quotes_are_tolerated() {
        assert_eq!(found(&["x=1;homing=a;y=2"]), ["a"]);
        assert_eq!(found(&[" \t homing \t=  a \t"]), ["a"]);
        assert_eq!(found(&["homing=\"a\"; homing= \"b\" "]), ["a", "b"]);
        assert_eq!(found(&["homing=; homing=\"\""]), ["", ""]);
        assert_eq!(found(&["homing=\"; homing=a\"; homing=\"a"]), ["\"", "a\"", "\"a"]);
        assert_eq!(found(&["homing=a=b=="]), ["a=b=="]);
    }

    #[test]
    fn other_names_are_not_ours() {
        let others = "Homing=1; homing2=2; xhoming=3; homin=4; hom ing=5; homing6; \"homing\"=7";
        assert!(found(&[others]).is_empty());
        assert_eq!(stripped(others).unwrap(), others);
    }

    #[test]
    fn bytes_need_not_be_text() {
        let header = b"\xff\x80=\xfe; homing=\xff\xba\x3a; x=\xbb";
        assert_eq!(&tokens([&header[..]], &homing())[..], [b"\xff\xba\x3a"]);
        let rest = b"\xff\x80=\xfe; x=\xbb".to_vec();
        assert_eq!(strip(header, &homing()), Stripped::Rest(rest));
    }

    #[test]
    fn separators_stay_with_the_pairs_they_stand_before() {
        for (header, rest) in [
            ("a=1; homing=T; b=2", "a=1; b=2"),
            ("a=1;homing=T;  b=2", "a=1;  b=2"),
            ("homing=T; a=1;b=2", "a=1;b=2"),
            ("homing=S; homing=T;\ta=1", "a=1"),
            ("a=1; homing=T", "a=1"),
            ("a=1; homing=T;", "a=1;"),
            ("a=\"x y\"; homing=T; b=;; c", "a=\"x y\"; b=;; c"),
        ] {
            assert_eq!(stripped(header).as_deref(), Some(rest), "{header:?}");
        }
        for header in ["homing=T", "homing=T;", " homing=\"T\" ; homing=U ;; "] {
            assert_eq!(stripped(header), None, "{header:?}");
        }
        for header in ["", ";", "a=1;; b", " a=1 "] {
            assert_eq!(stripped(header).as_deref(), Some(header));
        }
    }

    /// The oracle: split everything, trim everything, compare names.
    fn naive_is_ours(pair: &[u8]) -> bool {
        let text: String = pair.iter().map(|&b| char::from(b)).collect();
        let blank = [' ', '\t'];
        text.split_once('=').is_some_and(|(name, _)| name.trim_matches(blank) == "homing")
    }

    /// Describes the fault of `output` as the stripped form of `input`, without using the parser under test.
    fn fault(input: &[u8], output: &Stripped) -> Option<&'static str> {
        let split = |bytes: &[u8]| -> Vec<Vec<u8>> { bytes.split(|&b| b == b';').map(<[u8]>::to_vec).collect() };
        let pairs = split(input);
        let mut others = pairs.clone();
        others.retain(|pair| !naive_is_ours(pair));
        let blank = |pair: &Vec<u8>| pair.iter().all(|&b| b == b' ' || b == b'\t');
        match output {
            Stripped::Unchanged => (others != pairs).then_some("a cookie of ours is left"),
            Stripped::Empty if others == pairs => Some("emptied without a reason"),
            Stripped::Empty => (!others.iter().all(blank)).then_some("other cookies are lost"),
            Stripped::Rest(_) if others == pairs => Some("changed without a reason"),
            Stripped::Rest(rest) => {
                if others.iter().all(blank) {
                    return Some("a header of nothing");
                }
                while others[0].first().is_some_and(|&b| b == b' ' || b == b'\t') {
                    others[0].remove(0);
                }
                (split(rest) != others).then_some("the others are not as they were")
            }
        }
    }

    #[test]
    fn the_oracle_sees_wrong_stripping() {
        let rest = |bytes: &[u8]| Stripped::Rest(bytes.to_vec());
        let header = b"a=1; homing=T; homing2=b";
        assert_eq!(fault(header, &rest(b"a=1; homing2=b")), None);
        for wrong in [
            rest(b"a=1"),
            rest(b"a=1;homing2=b"),
            rest(b"homing2=b; a=1"),
            rest(header),
            Stripped::Unchanged,
            Stripped::Empty,
        ] {
            assert!(fault(header, &wrong).is_some(), "{wrong:?}");
        }
    }

    fn headers() -> impl Strategy<Value = Vec<u8>> {
        let word = prop::sample::select(vec![
            "homing", "homing", "homing", "Homing", "homing2", "xhoming", "h", "", "=", ";", "; ", " ", "\t", "\"",
            "a=1", "\u{bb}",
        ]);
        let mostly_cookies = prop::collection::vec(word, 0..24).prop_map(|words| words.concat().into_bytes());
        let noise = prop::collection::vec(any::<u8>(), 0..64);
        prop_oneof![4 => mostly_cookies, 1 => noise]
    }

    proptest! {
        #[test]
        fn strip_leaves_the_others_alone(header in headers()) {
            let output = strip(&header, &homing());
            prop_assert_eq!(fault(&header, &output), None, "{:?}", output);
            if let Stripped::Rest(rest) = output {
                prop_assert!(tokens([&rest[..]], &homing()).is_empty());
                prop_assert_eq!(strip(&rest, &homing()), Stripped::Unchanged);
            }
        }

        #[test]
        fn tokens_are_what_a_naive_split_finds(header in headers()) {
            let expected = header.split(|&b| b == b';').filter(|pair| naive_is_ours(pair)).count();
            prop_assert_eq!(tokens([&header[..]], &homing()).len(), expected.min(MAX_TOKENS));
        }

        #[test]
        fn semicolons_are_found_wherever_they_are(bytes in prop::collection::vec(58u8..=60, 0..40)) {
            prop_assert_eq!(semicolon(&bytes), bytes.iter().position(|&b| b == b';'));
        }
    }
}
