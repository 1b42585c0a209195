//! Newline-delimited JSON, as etcd streams its responses.

use super::error::EtcdError;
use super::message::{GrpcStatus, StreamedResult};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;

/// More than etcd sends in one response, which has what one transaction changed: 128 values of up to 1.5 MiB.
const MAX_LINE: usize = 256 << 20;

/// The lines of a body. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct JsonLines<T> {
    body: Incoming,
    unread: Vec<u8>,
    response: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> JsonLines<T> {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, unread: Vec::new(), response: PhantomData }
    }

    /// The next response; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<T>, EtcdError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return parse(&line).map(Some);
            }
            if self.unread.len() > MAX_LINE {
                return Err(EtcdError::unexpected("a line without an end"));
            }
            match poll_fn(|cx| hyper::body::Body::poll_frame(Pin::new(&mut self.body), cx)).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(EtcdError::Unreachable(error.to_string())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.unread.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, EtcdError> {
    let malformed = |error: serde_json::Error| EtcdError::unexpected(&error.to_string());
    let mut value: Value = serde_json::from_slice(line).map_err(malformed)?;
    if let Some(failure) = value.get_mut("error").map(Value::take) {
        let GrpcStatus { code, message } = serde_json::from_value(failure).unwrap_or_default();
        return Err(EtcdError::Refused { code, message });
    }
    let StreamedResult { result } = serde_json::from_value(value).map_err(malformed)?;
    Ok(result)
}
