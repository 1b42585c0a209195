//! The numbers that cross the boundary. None is ever used anew for something else.

use homing::affinity::TOKEN_LEN;
use homing::cluster::Decision;

/// The version of this interface. Compare it with homing_abi_version() at start. Functions, numbers and
/// options are added under the same version; it changes when something that was there no longer is.
pub const HOMING_ABI_VERSION: u32 = 1;

/// It worked.
pub const HOMING_OK: i32 = 0;
/// The session is to wait: pick again at retry_at_ms. Only for requests with HOMING_REQUEST_CAN_WAIT.
pub const HOMING_LATER: i32 = 1;
/// There is nothing: no event waits, no token is due, no departure is set.
pub const HOMING_NOTHING: i32 = 2;

/// A pointer that must not be NULL is.
pub const HOMING_ERR_NULL: i32 = -1;
/// No such handle: it was freed or finished, is of another type, or never was.
pub const HOMING_ERR_HANDLE: i32 = -2;
/// The size member of a struct is not one that this library knows.
pub const HOMING_ERR_SIZE: i32 = -3;
/// A length is beyond its limit.
pub const HOMING_ERR_LENGTH: i32 = -4;
/// A buffer is too small. Its length says how much is needed; nothing else was done.
pub const HOMING_ERR_BUFFER: i32 = -5;
/// A number, flag or text that means nothing here, or a struct that is not aligned.
pub const HOMING_ERR_VALUE: i32 = -6;
/// The configuration is wrong. The text says where and what to do.
pub const HOMING_ERR_CONFIG: i32 = -7;
/// The key file or the key ring is wrong.
pub const HOMING_ERR_KEYS: i32 = -8;
/// There is no such upstream.
pub const HOMING_ERR_UNKNOWN: i32 = -9;
/// The cluster has changed since: look upstreams up, or plan, again.
pub const HOMING_ERR_GENERATION: i32 = -10;
/// No upstream takes sessions. Answer 503.
pub const HOMING_ERR_UNAVAILABLE: i32 = -11;
/// Those that could take the request are at their limits. Answer 503, or try again when a request has ended.
pub const HOMING_ERR_FULL: i32 = -12;
/// The session's own upstream cannot take the request, and sessions are not to be moved. Answer 503.
pub const HOMING_ERR_REJECTED: i32 = -13;
/// There are too many handles.
pub const HOMING_ERR_LIMIT: i32 = -14;
/// The operating system gave no randomness.
pub const HOMING_ERR_SYSTEM: i32 = -15;
/// A bug in the library, which printed its place to the standard error output: please report it. The next
/// call works.
pub const HOMING_ERR_PANIC: i32 = -16;

/// The session came home.
pub const HOMING_DECISION_PINNED: i32 = 0;
/// No token: a first visit, or a client without cookies.
pub const HOMING_DECISION_NEW: i32 = 1;
/// The cluster does not have the token's upstream any more.
pub const HOMING_DECISION_NO_SUCH_UPSTREAM: i32 = 2;
/// The upstream does not serve, or has just failed this request.
pub const HOMING_DECISION_NOT_SERVING: i32 = 3;
/// The upstream is at its limit.
pub const HOMING_DECISION_FULL: i32 = 4;
/// The upstream is another process than the one that held the session.
pub const HOMING_DECISION_OTHER_INCARNATION: i32 = 5;
/// The session is older than its greatest age.
pub const HOMING_DECISION_EXPIRED: i32 = 6;
/// The session was away for too long.
pub const HOMING_DECISION_IDLE: i32 = 7;
/// The token was altered, made up, or is of another pool.
pub const HOMING_DECISION_BAD_TAG: i32 = 8;
/// The token was signed with a key that the ring does not have.
pub const HOMING_DECISION_UNKNOWN_KEY: i32 = 9;
/// What came is no token.
pub const HOMING_DECISION_MALFORMED: i32 = 10;
/// The token is of another version.
pub const HOMING_DECISION_OTHER_VERSION: i32 = 11;
/// The upstream is drained, and the session's moment to leave has come.
pub const HOMING_DECISION_DRAINED: i32 = 12;
/// The session was moved to an upstream with room.
pub const HOMING_DECISION_REBALANCED: i32 = 13;
/// How many decisions there are.
pub const HOMING_DECISIONS: usize = 14;

const _: () = assert!(HOMING_DECISIONS == Decision::COUNT && HOMING_TOKEN_LEN == TOKEN_LEN);

/// The length of a token, in bytes.
pub const HOMING_TOKEN_LEN: usize = 56;
/// The greatest length of an upstream's name, in bytes.
pub const HOMING_NAME_MAX: usize = 255;
/// The greatest length of a cookie header, a key or a token that is handed in, in bytes.
pub const HOMING_INPUT_MAX: usize = 65536;
/// The greatest length of a configuration, in bytes.
pub const HOMING_CONFIG_MAX: usize = 16777216;

/// Where homing_open() knows no upstream of the cluster.
pub const HOMING_NO_INDEX: u32 = u32::MAX;
/// A time without end, where one may be given.
pub const HOMING_FOREVER: u64 = u64::MAX;
