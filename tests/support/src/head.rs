//! The head of a message as it was on the wire.

use std::fmt;

/// The start line, fields and blank line, byte for byte.
#[derive(Clone)]
pub struct Head(Vec<u8>);

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Absent,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Text with one character per byte, so that any bytes can be compared and printed without loss.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// Splits a field line at its colon; only the whitespace around the value is removed.
pub fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
}

impl Head {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        latin1(&self.0).split("\r\n").map(str::to_owned).collect::<Vec<_>>().into_iter()
    }

    pub fn start_line(&self) -> String {
        self.lines().next().unwrap_or_default()
    }

    pub fn method(&self) -> String {
        self.start_line().split(' ').next().unwrap_or_default().to_owned()
    }

    pub fn target(&self) -> String {
        self.start_line().split(' ').nth(1).unwrap_or_default().to_owned()
    }

    pub fn status(&self) -> u16 {
        self.target().parse().unwrap_or_else(|_| panic!("no status line: {self:?}"))
    }

    pub fn fields(&self) -> Vec<(String, String)> {
        self.lines().skip(1).filter(|line| !line.is_empty()).map(|line| field(&line)).collect()
    }

    /// The values of all fields of this name, in order.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.fields().into_iter().filter(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// The only value of this name; panics if there are several.
    pub fn one(&self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        assert!(values.len() < 2, "{name} stands {} times in {self:?}", values.len());
        values.pop()
    }

    /// All values of this name as one comma-separated list (RFC 9110, 5.3).
    pub fn list(&self, name: &str) -> Vec<String> {
        let joined = self.all(name).join(",");
        joined.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    }

    pub fn of_request(&self) -> Result<Framing, String> {
        self.declared(Framing::Absent)
    }

    pub fn of_response(&self, method: &str) -> Result<Framing, String> {
        match self.status() {
            100..200 | 204 | 304 => Ok(Framing::Absent),
            _ if method == "HEAD" => Ok(Framing::Absent),
            _ => self.declared(Framing::UntilClose),
        }
    }

    /// Two framings of a body, or a repeated one, enable request smuggling (RFC 9112, 6.3), so they are an error.
    fn declared(&self, otherwise: Framing) -> Result<Framing, String> {
        match (&self.all("transfer-encoding")[..], &self.all("content-length")[..]) {
            ([], []) => Ok(otherwise),
            ([], [length]) => length.parse().map(Framing::Length).map_err(|_| format!("content-length {length:?}")),
            ([coding], []) if coding == "chunked" => Ok(Framing::Chunked),
            (codings, lengths) => Err(format!("transfer-encoding {codings:?} with content-length {lengths:?}")),
        }
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", latin1(&self.0))
    }
}
