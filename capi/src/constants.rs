//! The numbers that cross the boundary. None is ever reused for another meaning.

use homing::affinity::TOKEN_LEN;
use homing::cluster::Decision;

/// The version of this ABI. Compare it with homing_abi_version() at start. Functions, numbers and options are added
/// without a new version; it changes when something is removed or changed.
pub const HOMING_ABI_VERSION: u32 = 1;

/// Success.
pub const HOMING_OK: i32 = 0;
/// The session waits: pick again at retry_at_ms. Only for requests with HOMING_REQUEST_CAN_WAIT.
pub const HOMING_LATER: i32 = 1;
/// There is nothing to return: no event is queued, no token is due, no drain deadline is set.
pub const HOMING_NOTHING: i32 = 2;

/// A pointer is NULL that must not be.
pub const HOMING_ERR_NULL: i32 = -1;
/// Not a valid handle: it was freed or finished, is of another kind, or was never given out.
pub const HOMING_ERR_HANDLE: i32 = -2;
/// The size member of a struct is smaller than in any version, or the struct has members that this library does not
/// know.
pub const HOMING_ERR_SIZE: i32 = -3;
/// A length exceeds its limit.
pub const HOMING_ERR_LENGTH: i32 = -4;
/// A buffer is too small. The length that is needed was written; nothing else was done.
pub const HOMING_ERR_BUFFER: i32 = -5;
/// An invalid number, flag or text, or a pointer that is not aligned.
pub const HOMING_ERR_VALUE: i32 = -6;
/// The configuration is invalid. homing_last_error() says where, and what to do.
pub const HOMING_ERR_CONFIG: i32 = -7;
/// The key file or the key ring is invalid.
pub const HOMING_ERR_KEYS: i32 = -8;
/// There is no such upstream.
pub const HOMING_ERR_UNKNOWN: i32 = -9;
/// The cluster has changed since then: look upstreams up again, or make a new plan.
pub const HOMING_ERR_GENERATION: i32 = -10;
/// No upstream accepts sessions. Answer with 503.
pub const HOMING_ERR_UNAVAILABLE: i32 = -11;
/// Every upstream that could take the request is at its limit. Answer with 503, or pick again when a request has ended.
pub const HOMING_ERR_FULL: i32 = -12;
/// The session's upstream cannot take the request, and by configuration sessions do not move. Answer with 503.
pub const HOMING_ERR_REJECTED: i32 = -13;
/// There are too many handles.
pub const HOMING_ERR_LIMIT: i32 = -14;
/// The operating system provided no random numbers.
pub const HOMING_ERR_SYSTEM: i32 = -15;
/// A bug in the library, which printed its location to the standard error output: please report it. The next call
/// works.
pub const HOMING_ERR_PANIC: i32 = -16;

/// The request goes to its session's upstream.
pub const HOMING_DECISION_PINNED: i32 = 0;
/// No token: a first request, or a client without cookies.
pub const HOMING_DECISION_NEW: i32 = 1;
/// The token's upstream is not in the cluster any more.
pub const HOMING_DECISION_NO_SUCH_UPSTREAM: i32 = 2;
/// The upstream does not serve, or this request was tried there and failed.
pub const HOMING_DECISION_NOT_SERVING: i32 = 3;
/// The upstream is at its limit of requests in flight.
pub const HOMING_DECISION_FULL: i32 = 4;
/// Another process is behind the upstream than the one that held the session.
pub const HOMING_DECISION_OTHER_INCARNATION: i32 = 5;
/// The session has reached its maximum age.
pub const HOMING_DECISION_EXPIRED: i32 = 6;
/// The session made no request for longer than the idle time.
pub const HOMING_DECISION_IDLE: i32 = 7;
/// The token was altered or forged, or is of another pool.
pub const HOMING_DECISION_BAD_TAG: i32 = 8;
/// The token was signed with a key that the ring does not have.
pub const HOMING_DECISION_UNKNOWN_KEY: i32 = 9;
/// The text is not a token.
pub const HOMING_DECISION_MALFORMED: i32 = 10;
/// The token has another version.
pub const HOMING_DECISION_OTHER_VERSION: i32 = 11;
/// The upstream is draining, and the drain deadline of the session has passed.
pub const HOMING_DECISION_DRAINED: i32 = 12;
/// Rebalancing moved the session to an upstream with room.
pub const HOMING_DECISION_REBALANCED: i32 = 13;
/// The number of decisions.
pub const HOMING_DECISIONS: usize = 14;

const _: () = assert!(HOMING_DECISIONS == Decision::COUNT && HOMING_TOKEN_LEN == TOKEN_LEN);

/// The length of a token, in bytes.
pub const HOMING_TOKEN_LEN: usize = 56;
/// The maximum length of an upstream's name, in bytes.
pub const HOMING_NAME_MAX: usize = 255;
/// The maximum length of an input (a Cookie header, a key, a token), in bytes.
pub const HOMING_INPUT_MAX: usize = 65536;
/// The maximum length of a configuration, in bytes.
pub const HOMING_CONFIG_MAX: usize = 16777216;

/// The index that homing_open() gives where the session is on no upstream of the cluster.
pub const HOMING_NO_INDEX: u32 = u32::MAX;
/// Infinite time, or no limit, where a function or an option takes it.
pub const HOMING_FOREVER: u64 = u64::MAX;
