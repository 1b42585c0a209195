/* homing.h: session-affinity load balancing for C, and for whatever calls C.
 *
 * Made from capi/src/ of https://crates.io/crates/homing by cbindgen; do not edit it.
 *
 * CONVENTIONS, which hold everywhere:
 *
 * Status   Every function returns an int32_t, but homing_abi_version(): HOMING_OK; or an answer
 *          above 0 that is no error (HOMING_LATER, HOMING_NOTHING); or an error below 0, with words
 *          for people in homing_last_error() of the same thread. Numbers are never used anew for
 *          something else. Expect ones that you do not know from libraries that are newer than this
 *          header.
 * Handles  What the library keeps for you is a homing_handle, a number; 0 is none. Each call checks
 *          its handles: one that was freed, or finished, is of another type or was never given out
 *          is answered with HOMING_ERR_HANDLE and does no harm. What a homing_..._new() (or
 *          generate, load, parse) gave is freed by the homing_..._free() beside it, once, by
 *          anybody, at any time; to free 0 is fine. A lease is ended by homing_finish().
 * Threads  Any thread may call any function with any handle at any time. Nothing is kept for a
 *          thread but its last error. Those functions may take long that read a file, build a
 *          balancer, or explain, make or forecast a change; all others end soon. None calls back
 *          but to the log.
 * Bytes    What goes in is a pointer and a length, never NUL-terminated, and is copied where it is
 *          kept; NULL is fine with length 0. Each length has a limit, beyond which it is refused
 *          (HOMING_ERR_LENGTH): HOMING_INPUT_MAX unless a function says otherwise. What comes out
 *          is copied to a buffer of yours: a pointer, its capacity, and a place for the length,
 *          which gets what is needed where the buffer is too small (HOMING_ERR_BUFFER). To ask for
 *          the length, give NULL and 0. Nothing that comes out is NUL-terminated.
 * Outputs  They are written where the status is HOMING_OK, and where a function says so with
 *          another status above 0; they are left alone otherwise, but for the length with
 *          HOMING_ERR_BUFFER. With HOMING_NOTHING and HOMING_LATER every length is 0. A pointer to
 *          one must not be NULL unless the function says so (HOMING_ERR_NULL).
 * Structs  Each begins with its size, which you set to sizeof, so that library and header may be of
 *          different versions: later versions add members at the end, whose zero means what was
 *          before. Where they do not fit, the answer is HOMING_ERR_SIZE. In options, zero is always
 *          the default: set all of the struct to zero first.
 * Times    Milliseconds since 1970 (UTC), and lengths of time in milliseconds. now_ms = 0 lets the library look at the clock.
 * Upstream Upstreams have an index in the order of configuration, which means something together
 *          with a generation of the cluster, and an id, which stays for as long as the name and the
 *          identity of the key ring stay.
 * Fork     A process may be forked when no other thread of it is within the library: handles are
 *          good in the parent and in the child, which then go separate ways. Numbers of sessions
 *          come from the operating system where there is affinity, and are not shared.
 * Panics   None crosses: a bug in the library is HOMING_ERR_PANIC, and the next call works.
 * Version  Compare homing_abi_version() with HOMING_ABI_VERSION at start.
 *
 * The least that a host does: homing_keyring_load(), homing_config_parse(), homing_balancer_new();
 * for each request homing_pick(), and homing_finish() when its response has ended; and
 * homing_tick() some ten times a second.
 */

#ifndef HOMING_H
#define HOMING_H

#include <stddef.h>
#include <stdint.h>

/**
 * The version of this interface. Compare it with homing_abi_version() at start. Functions, numbers and
 * options are added under the same version; it changes when something that was there no longer is.
 */
#define HOMING_ABI_VERSION 1

/**
 * It worked.
 */
#define HOMING_OK 0

/**
 * The session is to wait: pick again at retry_at_ms. Only for requests with HOMING_REQUEST_CAN_WAIT.
 */
#define HOMING_LATER 1

/**
 * There is nothing: no event waits, no token is due, no departure is set.
 */
#define HOMING_NOTHING 2

/**
 * A pointer that must not be NULL is.
 */
#define HOMING_ERR_NULL (-1)

/**
 * No such handle: it was freed or finished, is of another type, or never was.
 */
#define HOMING_ERR_HANDLE (-2)

/**
 * The size member of a struct is not one that this library knows.
 */
#define HOMING_ERR_SIZE (-3)

/**
 * A length is beyond its limit.
 */
#define HOMING_ERR_LENGTH (-4)

/**
 * A buffer is too small. Its length says how much is needed; nothing else was done.
 */
#define HOMING_ERR_BUFFER (-5)

/**
 * A number, flag or text that means nothing here, or a struct that is not aligned.
 */
#define HOMING_ERR_VALUE (-6)

/**
 * The configuration is wrong. The text says where and what to do.
 */
#define HOMING_ERR_CONFIG (-7)

/**
 * The key file or the key ring is wrong.
 */
#define HOMING_ERR_KEYS (-8)

/**
 * There is no such upstream.
 */
#define HOMING_ERR_UNKNOWN (-9)

/**
 * The cluster has changed since: look upstreams up, or plan, again.
 */
#define HOMING_ERR_GENERATION (-10)

/**
 * No upstream takes sessions. Answer 503.
 */
#define HOMING_ERR_UNAVAILABLE (-11)

/**
 * Those that could take the request are at their limits. Answer 503, or try again when a request has ended.
 */
#define HOMING_ERR_FULL (-12)

/**
 * The session's own upstream cannot take the request, and sessions are not to be moved. Answer 503.
 */
#define HOMING_ERR_REJECTED (-13)

/**
 * There are too many handles.
 */
#define HOMING_ERR_LIMIT (-14)

/**
 * The operating system gave no randomness.
 */
#define HOMING_ERR_SYSTEM (-15)

/**
 * A bug in the library, which printed its place to the standard error output: please report it. The next
 * call works.
 */
#define HOMING_ERR_PANIC (-16)

/**
 * The session came home.
 */
#define HOMING_DECISION_PINNED 0

/**
 * No token: a first visit, or a client without cookies.
 */
#define HOMING_DECISION_NEW 1

/**
 * The cluster does not have the token's upstream any more.
 */
#define HOMING_DECISION_NO_SUCH_UPSTREAM 2

/**
 * The upstream does not serve, or has just failed this request.
 */
#define HOMING_DECISION_NOT_SERVING 3

/**
 * The upstream is at its limit.
 */
#define HOMING_DECISION_FULL 4

/**
 * The upstream is another process than the one that held the session.
 */
#define HOMING_DECISION_OTHER_INCARNATION 5

/**
 * The session is older than its greatest age.
 */
#define HOMING_DECISION_EXPIRED 6

/**
 * The session was away for too long.
 */
#define HOMING_DECISION_IDLE 7

/**
 * The token was altered, made up, or is of another pool.
 */
#define HOMING_DECISION_BAD_TAG 8

/**
 * The token was signed with a key that the ring does not have.
 */
#define HOMING_DECISION_UNKNOWN_KEY 9

/**
 * What came is no token.
 */
#define HOMING_DECISION_MALFORMED 10

/**
 * The token is of another version.
 */
#define HOMING_DECISION_OTHER_VERSION 11

/**
 * The upstream is drained, and the session's moment to leave has come.
 */
#define HOMING_DECISION_DRAINED 12

/**
 * The session was moved to an upstream with room.
 */
#define HOMING_DECISION_REBALANCED 13

/**
 * How many decisions there are.
 */
#define HOMING_DECISIONS 14

/**
 * The length of a token, in bytes.
 */
#define HOMING_TOKEN_LEN 56

/**
 * The greatest length of an upstream's name, in bytes.
 */
#define HOMING_NAME_MAX 255

/**
 * The greatest length of a cookie header, a key or a token that is handed in, in bytes.
 */
#define HOMING_INPUT_MAX 65536

/**
 * The greatest length of a configuration, in bytes.
 */
#define HOMING_CONFIG_MAX 16777216

/**
 * Where homing_open() knows no upstream of the cluster.
 */
#define HOMING_NO_INDEX ((uint32_t)-1)

/**
 * A time without end, where one may be given.
 */
#define HOMING_FOREVER ((uint64_t)-1)

/**
 * Something worth knowing: keys or upstreams were changed.
 */
#define HOMING_LOG_INFO 1

/**
 * Something to look after: a key file that others can read.
 */
#define HOMING_LOG_WARN 2

/**
 * A bug in the library.
 */
#define HOMING_LOG_ERROR 3

/**
 * A session whose upstream does not serve moves.
 */
#define HOMING_REPIN 0

/**
 * Its requests are refused until the upstream serves again.
 */
#define HOMING_REJECT 1

/**
 * A session whose upstream is at its limit stays, and its requests are refused (HOMING_ERR_FULL) until there
 * is room.
 */
#define HOMING_FULL_WAIT 0

/**
 * It moves.
 */
#define HOMING_FULL_MOVE 1

/**
 * A session whose upstream is another process now is placed as if its upstream were gone.
 */
#define HOMING_RESTART_REPLACE 0

/**
 * It stays on the new process.
 */
#define HOMING_RESTART_KEEP 1

/**
 * SameSite=Lax.
 */
#define HOMING_SAME_SITE_LAX 0

/**
 * SameSite=Strict.
 */
#define HOMING_SAME_SITE_STRICT 1

/**
 * SameSite=None.
 */
#define HOMING_SAME_SITE_NONE 2

/**
 * The cookie says Secure where the request came over HTTPS, or browsers ask for it.
 */
#define HOMING_SECURE_AUTO 0

/**
 * It always does.
 */
#define HOMING_SECURE_ALWAYS 1

/**
 * It never does.
 */
#define HOMING_SECURE_NEVER 2

/**
 * The request came over HTTPS, so that its cookie says Secure.
 */
#define HOMING_REQUEST_HTTPS 1

/**
 * The host can pick again later, so that HOMING_LATER is an answer. Without it, a session that would have to
 * wait is moved.
 */
#define HOMING_REQUEST_CAN_WAIT 2

/**
 * Nothing is to be reported: the client left, or it was reported before.
 */
#define HOMING_OUTCOME_NONE 0

/**
 * The upstream answered, with a status below 500.
 */
#define HOMING_OUTCOME_ANSWERED 1

/**
 * It answered with a status of 500 or above.
 */
#define HOMING_OUTCOME_SERVER_ERROR 2

/**
 * The connection broke off, or what came was no HTTP.
 */
#define HOMING_OUTCOME_BROKEN 3

/**
 * No response began within the host's deadline.
 */
#define HOMING_OUTCOME_TIMED_OUT 4

/**
 * Nobody listens there. This is proof: its sessions move.
 */
#define HOMING_OUTCOME_CONNECT_REFUSED 5

/**
 * The connection was not made in time.
 */
#define HOMING_OUTCOME_CONNECT_TIMED_OUT 6

/**
 * It serves and takes new sessions.
 */
#define HOMING_PROBE_PASSED 0

/**
 * It serves those it has and wants no new ones.
 */
#define HOMING_PROBE_FULL 1

/**
 * It answered with a status that is neither.
 */
#define HOMING_PROBE_STATUS 2

/**
 * Nobody listens there.
 */
#define HOMING_PROBE_REFUSED 3

/**
 * No answer in time, or the connection broke off.
 */
#define HOMING_PROBE_TIMED_OUT 4

/**
 * Serves and accepts.
 */
#define HOMING_STATE_ACTIVE 0

/**
 * Serves, and accepts a growing share.
 */
#define HOMING_STATE_WARMING 1

/**
 * Says itself that it wants no new sessions.
 */
#define HOMING_STATE_FULL 2

/**
 * Looks bad, and takes no new sessions until it looks better.
 */
#define HOMING_STATE_SUSPECT 3

/**
 * Is drained.
 */
#define HOMING_STATE_DRAINING 4

/**
 * Is proven not to answer.
 */
#define HOMING_STATE_DOWN 5

/**
 * An upstream changed its state.
 */
#define HOMING_EVENT_CHANGED 0

/**
 * Another process is behind an upstream.
 */
#define HOMING_EVENT_RESTARTED 1

/**
 * A draining upstream has nothing left: it can be stopped.
 */
#define HOMING_EVENT_DRAINED 2

/**
 * Too many upstreams look bad to believe it: judgements are ignored from here on.
 */
#define HOMING_EVENT_PANIC_BEGAN 3

/**
 * Judgements count again.
 */
#define HOMING_EVENT_PANIC_ENDED 4

/**
 * Takes a line of log: a HOMING_LOG_ level, UTF-8 that is not NUL-terminated, and what was given with it. It
 * is called within calls of this library, on their threads, several at a time where several threads call. It
 * must not call the library, and must not unwind or longjmp.
 */
typedef void (*homing_log_fn)(int32_t level, const uint8_t *text, size_t text_len, void *user);

/**
 * The number of anything that this library keeps for its host; 0 is none. Parameters are called after what
 * they are to be: a ring, a config, a balancer, a plan, a lease, events. A handle may be used from any
 * thread, by several at a time; each is to be freed once, by the function that says so, and is good for the
 * process that made it and for those that it forked since.
 */
typedef uint64_t homing_handle;

/**
 * An upstream. Set all of it to zero, then size, then what it has.
 */
typedef struct homing_upstream_options {
    /**
     * sizeof(struct homing_upstream_options)
     */
    size_t size;
    /**
     * Its name, 1 to 255 bytes of visible ASCII, unique in the cluster. Sessions follow the name.
     */
    const uint8_t *name;
    /**
     * Its length.
     */
    size_t name_len;
    /**
     * Where it is, for the host: host:port by custom, which some policies hash. At most 4096 bytes of UTF-8.
     */
    const uint8_t *address;
    /**
     * Its length.
     */
    size_t address_len;
    /**
     * Its share of new sessions, 1 to 65535; 0: 1.
     */
    uint32_t weight;
    /**
     * The most requests and tunnels in flight; 0: no limit.
     */
    uint32_t max_in_flight;
} homing_upstream_options;

/**
 * How sessions come back. Set all of it to zero, then size, then what is to differ from the defaults.
 */
typedef struct homing_affinity_options {
    /**
     * sizeof(struct homing_affinity_options)
     */
    size_t size;
    /**
     * The greatest age of a session, in milliseconds, 1000 at least; 0: 12 hours. Fractions of seconds do not count.
     */
    uint64_t max_age_ms;
    /**
     * How long a session may go without a request, at most max_age_ms; 0: for as long as it lives.
     */
    uint64_t idle_ms;
    /**
     * How long a session counts as live without a request; 0: 128 seconds.
     */
    uint64_t live_window_ms;
    /**
     * HOMING_REPIN or HOMING_REJECT
     */
    int32_t on_unavailable;
    /**
     * HOMING_FULL_
     */
    int32_t on_full;
    /**
     * HOMING_RESTART_
     */
    int32_t on_restart;
    /**
     * HOMING_SAME_SITE_
     */
    int32_t same_site;
    /**
     * HOMING_SECURE_
     */
    int32_t secure;
    /**
     * Whether the cookie is partitioned (CHIPS): 0 or 1.
     */
    int32_t partitioned;
    /**
     * The cookie's name; none: homing.
     */
    const uint8_t *cookie;
    /**
     * Its length.
     */
    size_t cookie_len;
    /**
     * Its domain; none: the host that is asked, alone.
     */
    const uint8_t *domain;
    /**
     * Its length.
     */
    size_t domain_len;
    /**
     * Its path; none: /.
     */
    const uint8_t *path;
    /**
     * Its length.
     */
    size_t path_len;
} homing_affinity_options;

/**
 * How quickly what is believed of upstreams. Set all of it to zero, then size, then what is to differ from
 * the defaults.
 */
typedef struct homing_health_options {
    /**
     * sizeof(struct homing_health_options)
     */
    size_t size;
    /**
     * Probes that fail in a row until an upstream is down; 0: 2.
     */
    uint32_t fall;
    /**
     * Probes that pass in a row until it returns; 0: 2.
     */
    uint32_t rise;
    /**
     * Failed requests in a row until it takes no new sessions; 0: 5; UINT32_MAX: no such rule.
     */
    uint32_t consecutive;
    /**
     * How many displaced sessions a second one upstream takes; 0: 500; UINT32_MAX: no limit.
     */
    uint32_t failover_rate;
    /**
     * How long the first judgement holds, in milliseconds; 0: 10 seconds. Further ones hold longer.
     */
    uint64_t base_ms;
    /**
     * The longest that one holds; 0: 5 minutes.
     */
    uint64_t max_ms;
    /**
     * An upstream that answered nobody for so long takes no new sessions; 0: 5 seconds; HOMING_FOREVER: no
     * such rule.
     */
    uint64_t silence_ms;
    /**
     * How long the slow start of new and returned upstreams takes; 0: 10 seconds; HOMING_FOREVER: there is
     * none.
     */
    uint64_t slow_start_ms;
    /**
     * How long sessions wait for an upstream that is down to come back (HOMING_LATER); 0: they move.
     */
    uint64_t hold_ms;
    /**
     * After a drain's deadline, sessions leave over this time; 0: 30 seconds; HOMING_FOREVER: at once.
     */
    uint64_t drain_spread_ms;
} homing_health_options;

/**
 * A request that is to be placed. Set all of it to zero, then size, then what is known.
 */
typedef struct homing_request {
    /**
     * sizeof(struct homing_request)
     */
    size_t size;
    /**
     * The time, in milliseconds since 1970; 0: the library looks.
     */
    uint64_t now_ms;
    /**
     * The generation that the indices of eligible are of; 0 where there are none.
     */
    uint64_t generation;
    /**
     * The client's address, 4 or 16 bytes in network order; none: unknown. IPv6 addresses that map IPv4 ones
     * are those.
     */
    const uint8_t *client;
    /**
     * Its length: 4, 16 or 0.
     */
    size_t client_len;
    /**
     * What policies hash that go by a key, in place of the client's address.
     */
    const uint8_t *key;
    /**
     * Its length, at most HOMING_INPUT_MAX.
     */
    size_t key_len;
    /**
     * The value of the request's Cookie header, whole; several are joined by "; ".
     */
    const uint8_t *cookie;
    /**
     * Its length, at most HOMING_INPUT_MAX.
     */
    size_t cookie_len;
    /**
     * A token by itself, in place of a cookie.
     */
    const uint8_t *token;
    /**
     * Its length, at most HOMING_INPUT_MAX.
     */
    size_t token_len;
    /**
     * The ids of upstreams that have already failed this request. A session that is on one of them moves.
     */
    const uint64_t *tried;
    /**
     * How many there are, at most 10000.
     */
    size_t tried_len;
    /**
     * Which upstreams the host itself lets have it: bit i % 8 of byte i / 8 is that of index i, and what is
     * beyond the end may not; none: all. A session that is on another one moves. Costs a look at all upstreams,
     * and at those that may not for each that is considered: it is meant for few that may not.
     */
    const uint8_t *eligible;
    /**
     * Its length in bytes, at most 1250.
     */
    size_t eligible_len;
    /**
     * HOMING_REQUEST_ flags together.
     */
    uint32_t flags;
    /**
     * 0
     */
    uint32_t reserved;
} homing_request;

/**
 * Where a request goes. Set size before.
 */
typedef struct homing_pick_result {
    /**
     * sizeof(struct homing_pick_result)
     */
    size_t size;
    /**
     * The request's place on its upstream. Give it to homing_finish() when the response, or the tunnel, has
     * ended.
     */
    homing_handle lease;
    /**
     * The generation that index is of.
     */
    uint64_t generation;
    /**
     * What the upstream is called by, for as long as its name stays.
     */
    uint64_t id;
    /**
     * The session's number, the same at each request of it, for logs and homing_departure(). Without
     * affinity of this request alone.
     */
    uint64_t session;
    /**
     * With HOMING_LATER: when to pick again, in milliseconds since 1970. Sooner does no harm.
     */
    uint64_t retry_at_ms;
    /**
     * The upstream's index.
     */
    uint32_t index;
    /**
     * Why it goes there: HOMING_DECISION_.
     */
    int32_t decision;
    /**
     * The length of token: HOMING_TOKEN_LEN, or 0 where the client keeps what it has.
     */
    uint32_t token_len;
    /**
     * 0
     */
    uint32_t reserved;
    /**
     * The token to send to the client.
     */
    uint8_t token[56];
} homing_pick_result;

/**
 * What a request's token says. Set size before.
 */
typedef struct homing_open_result {
    /**
     * sizeof(struct homing_open_result)
     */
    size_t size;
    /**
     * The generation that index is of.
     */
    uint64_t generation;
    /**
     * The upstream that the token names; 0 without a good token.
     */
    uint64_t id;
    /**
     * The session's number; without a good token a new one, for homing_lease() and homing_token_for().
     */
    uint64_t session;
    /**
     * The upstream's index, or HOMING_NO_INDEX where the cluster does not have it.
     */
    uint32_t index;
    /**
     * HOMING_DECISION_PINNED where the session goes there, HOMING_DECISION_NEW without a token; otherwise
     * why it does not.
     */
    int32_t decision;
} homing_open_result;

/**
 * How an upstream is doing. Set size before.
 */
typedef struct homing_upstream_status {
    /**
     * sizeof(struct homing_upstream_status)
     */
    size_t size;
    /**
     * The generation that its index is of.
     */
    uint64_t generation;
    /**
     * What it is called by.
     */
    uint64_t id;
    /**
     * Requests so far.
     */
    uint64_t requests;
    /**
     * When it came into its state, in milliseconds since 1970; 0: it has been in it since the start.
     */
    uint64_t since_ms;
    /**
     * What it is expected to take to answer, in microseconds; 0 where the policy does not go by it.
     */
    uint64_t latency_us;
    /**
     * Its weight.
     */
    uint32_t weight;
    /**
     * The most it may have in flight; 0: no limit.
     */
    uint32_t max_in_flight;
    /**
     * Requests and tunnels in flight.
     */
    uint32_t in_flight;
    /**
     * About how many sessions live there: those with a request in the last minutes. One that only holds a
     * WebSocket is in flight, and does not count here.
     */
    uint32_t live_sessions;
    /**
     * HOMING_STATE_
     */
    int32_t state;
    /**
     * Whether it takes new sessions: 0 or 1.
     */
    int32_t accepting;
    /**
     * Whether it serves those it has: 0 or 1.
     */
    int32_t serving;
    /**
     * Which process it is; 0: unknown.
     */
    uint32_t incarnation;
    /**
     * Requests by HOMING_DECISION_, with room for those that are yet to come.
     */
    uint64_t decided[32];
} homing_upstream_status;

/**
 * Something happened. Set size before.
 */
typedef struct homing_event {
    /**
     * sizeof(struct homing_event)
     */
    size_t size;
    /**
     * When, in milliseconds since 1970.
     */
    uint64_t at_ms;
    /**
     * How many events were missed so far, since more than 4096 waited.
     */
    uint64_t missed;
    /**
     * HOMING_EVENT_
     */
    int32_t kind;
    /**
     * The HOMING_STATE_ before, or the incarnation.
     */
    int32_t from;
    /**
     * The HOMING_STATE_ now, or the incarnation.
     */
    int32_t to;
    /**
     * The event's text begins with so many bytes of the upstream's name; 0: it is about the cluster.
     */
    uint32_t name_len;
} homing_event;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The HOMING_ABI_VERSION that the library was built with. Where it is not the header's, use another one of
 * the two.
 */
uint32_t homing_abi_version(void);

/**
 * The library's version, such as 0.1.0.
 *
 * buf must take cap bytes, and len a size.
 */
int32_t homing_version(uint8_t *buf, size_t cap, size_t *len);

/**
 * The words for the last error of the calling thread, of whatever function; empty where there was none. For
 * logs: they may change.
 *
 * buf must take cap bytes, and len a size.
 */
int32_t homing_last_error(uint8_t *buf, size_t cap, size_t *len);

/**
 * The name of a decision in logs and metrics, such as pinned or not_serving.
 *
 * buf must take cap bytes, and len a size.
 */
int32_t homing_decision_name(int32_t decision, uint8_t *buf, size_t cap, size_t *len);

#if defined(HOMING_PLANT_PANIC)
/**
 * Lets the calling thread's next call of any function panic inside. Only in libraries that were built with
 * the feature plant-panic, to test that no panic gets out.
 */
int32_t homing_plant_panic(void);
#endif

/**
 * Sends what an operator should know to log, with user as it is; NULL ends it. There is one for the process.
 * Nothing is logged by picks. A call of log that is under way in another thread may end after this function
 * returned.
 */
int32_t homing_set_log(homing_log_fn log, void *user);

/**
 * Makes a ring with fresh secrets that nobody else has, for tokens that need not outlive the process and its
 * forks. Free it with homing_keyring_free(). The pool is any name, at most 255 bytes of UTF-8: tokens of one
 * pool mean nothing in another.
 *
 * pool must have pool_len bytes, and ring take a handle.
 */
int32_t homing_keyring_generate(const uint8_t *pool, size_t pool_len, homing_handle *ring);

/**
 * Reads a ring from a key file, which is created (for its owner alone) where there is none; it explains
 * itself. Whoever has the same file shares tokens, gateways too. Free the ring with homing_keyring_free().
 * To rotate keys, edit the file as it says, read it again, and give the new ring to
 * homing_balancer_set_keys().
 *
 * path must have path_len bytes (at most 4096), and ring take a handle.
 */
int32_t homing_keyring_load(const uint8_t *path, size_t path_len, homing_handle *ring);

/**
 * Begins a ring of secrets that the host keeps itself. identity names the upstreams in tokens and never
 * changes: 32 to 1024 random bytes. Add one key that signs, and up to fifteen that verify, with
 * homing_keyring_add(). Free it with homing_keyring_free().
 *
 * pool and identity must have so many bytes, and ring take a handle.
 */
int32_t homing_keyring_new(const uint8_t *pool,
                           size_t pool_len,
                           const uint8_t *identity,
                           size_t identity_len,
                           homing_handle *ring);

/**
 * Adds a key to a ring from homing_keyring_new(): id is 0 to 15, its secret 32 to 1024 random bytes, and
 * sign is 1 for the one key that signs, 0 for those that only verify. A ring is judged where it is used, by
 * homing_balancer_new() and homing_balancer_set_keys(), which take the keys that it has then.
 *
 * secret must have secret_len bytes.
 */
int32_t homing_keyring_add(homing_handle ring, uint8_t id, const uint8_t *secret, size_t secret_len, int32_t sign);

/**
 * Frees a ring. Balancers that were given it go on.
 */
int32_t homing_keyring_free(homing_handle ring);

/**
 * Begins a configuration with every default and no upstreams. It is judged where it is used, by
 * homing_balancer_new(). Free it with homing_config_free().
 *
 * config must take a handle.
 */
int32_t homing_config_new(homing_handle *config);

/**
 * Reads a configuration of TOML, UTF-8 of at most HOMING_CONFIG_MAX bytes: the tables `[affinity]`, `[policy]`,
 * `[[upstream]]`, `[health]` (fall, rise and silence), `[outlier]`, `[slow_start]`, `[failover]`, `[drain]` and `[rebalance]`
 * of the gateway's, with the same keys and defaults, but for what is the gateway's alone: policy.key (hosts hand
 * the key in) and affinity.lost_header. What is wrong is refused with its line and key. affinity.keys names a
 * key file for homing_balancer_new(). Upstreams may come later, by homing_config_upstream(). Free the configuration
 * with homing_config_free().
 *
 * toml must have toml_len bytes, and config take a handle.
 */
int32_t homing_config_parse(const uint8_t *toml,
                            size_t toml_len,
                            homing_handle *config);

/**
 * Adds an upstream.
 *
 * upstream and all that it points to must be readable.
 */
int32_t homing_config_upstream(homing_handle config, const struct homing_upstream_options *upstream);

/**
 * Chooses the policy that places new sessions, by its name, such as p2c, least_sessions or ip_hash;
 * least_conn unless it is called. Its parameters begin anew.
 *
 * name must have name_len bytes.
 */
int32_t homing_config_policy(homing_handle config, const uint8_t *name, size_t name_len);

/**
 * Sets a parameter of the policy, as text.
 *
 * name and value must have so many bytes.
 */
int32_t homing_config_policy_param(homing_handle config,
                                   const uint8_t *name,
                                   size_t name_len,
                                   const uint8_t *value,
                                   size_t value_len);

/**
 * Sets how sessions come back, all at once.
 *
 * affinity and all that it points to must be readable.
 */
int32_t homing_config_affinity(homing_handle config, const struct homing_affinity_options *affinity);

/**
 * Sets how quickly what is believed of upstreams, all at once: what is 0 here has its default, whatever it was before.
 *
 * health must be readable.
 */
int32_t homing_config_health(homing_handle config, const struct homing_health_options *health);

/**
 * Lets chance and session numbers repeat: balancers of this configuration draw them from seed in place of
 * the operating system. For tests alone: whoever knows the seed knows the numbers, and processes that share
 * it share them.
 */
int32_t homing_config_seed(homing_handle config, uint64_t seed);

/**
 * Frees a configuration. Balancers that were built of it go on.
 */
int32_t homing_config_free(homing_handle config);

/**
 * Builds a balancer of a configuration, which may be used again. ring brings the keys of affinity. With 0 they
 * come from the file that the configuration's TOML names as affinity.keys, relative to the working directory and
 * created where absent; where it names none there is no affinity, and every request is placed by the policy. Free
 * the balancer with homing_balancer_free(). One is enough for all threads. After a fork the parent's and the
 * children's go separate ways, and leases that were in flight count in all of them; without affinity they also
 * draw the same lots, so such a host builds one in each process.
 *
 * balancer must take a handle.
 */
int32_t homing_balancer_new(homing_handle config, homing_handle ring, homing_handle *balancer);

/**
 * Frees a balancer. Leases, plans and streams of events that it gave stay good and are freed on their own.
 */
int32_t homing_balancer_free(homing_handle balancer);

/**
 * Changes the keys, for rotation: the new ring is of the same pool and identity. Tokens change over at each client's
 * next request. The generation moves on, and indices stay what they were. HOMING_NOTHING where there is no affinity.
 */
int32_t homing_balancer_set_keys(homing_handle balancer, homing_handle ring);

/**
 * How many upstreams the cluster has, and its generation: upstreams are called by their index, below count,
 * for as long as the generation is the same.
 *
 * count must take a size, and generation a number.
 */
int32_t homing_balancer_upstreams(homing_handle balancer, size_t *count, uint64_t *generation);

/**
 * Where the upstream of this id is, as configured.
 *
 * buf must take cap bytes, and len a size.
 */
int32_t homing_address(homing_handle balancer, uint64_t id, uint8_t *buf, size_t cap, size_t *len);

/**
 * Decides where a request goes, and takes a place there. This is all that most hosts need: it reads the
 * token out of the cookie header, verifies it, brings the session home or places it, and says which cookie
 * to set.
 *
 * The upstream's name is copied to name, unless that is NULL (then name_cap is 0 and name_len NULL);
 * name_cap must be HOMING_NAME_MAX at least. The value for a Set-Cookie header is copied to set_cookie,
 * unless that is NULL likewise, with a length of 0 where none is due; set_cookie_cap must be what
 * homing_set_cookie_max() says at least. Both are looked at first: where they are too small nothing is
 * picked.
 *
 * Returns HOMING_OK; HOMING_LATER, where nothing but size and retry_at_ms of the result means anything;
 * HOMING_ERR_UNAVAILABLE, HOMING_ERR_FULL and HOMING_ERR_REJECTED where nobody takes the request;
 * HOMING_ERR_GENERATION where eligible is of another one; HOMING_ERR_SYSTEM without randomness; or an error
 * of the arguments. Takes no lock that another thread would hold for long, and costs about half a
 * microsecond with a token.
 *
 * request and all that it points to must be readable, result must be a struct of its size, name and
 * set_cookie must take so many bytes.
 */
int32_t homing_pick(homing_handle balancer,
                    const struct homing_request *request,
                    struct homing_pick_result *result,
                    uint8_t *name,
                    size_t name_cap,
                    size_t *name_len,
                    uint8_t *set_cookie,
                    size_t set_cookie_cap,
                    size_t *set_cookie_len);

/**
 * Ends a request's place on its upstream, and tells how it fared: outcome is HOMING_OUTCOME_, latency_us the
 * time from sending the request to the head of its response in microseconds, 0 where that is not known (with
 * HOMING_OUTCOME_TIMED_OUT, how long it waited). balancer is the one that gave the lease; with 0, or where
 * it was freed since, nothing is reported, and the lease ends all the same.
 */
int32_t homing_finish(homing_handle balancer,
                      homing_handle lease,
                      int32_t outcome,
                      uint64_t latency_us,
                      uint64_t now_ms);

/**
 * Tells how a request fares whose lease goes on: at the head of its response, say, when the body is still to
 * come. Finish the lease with HOMING_OUTCOME_NONE then. Parameters are those of homing_finish().
 */
int32_t homing_report(homing_handle balancer,
                      homing_handle lease,
                      int32_t outcome,
                      uint64_t latency_us,
                      uint64_t now_ms);

/**
 * Reads and verifies the token of a request, and takes no place. For hosts that place sessions by
 * themselves; then homing_lease() counts the request and homing_token_for() says what to send to the client.
 * Whether the upstream has room, and rebalancing, are not looked at.
 *
 * request and all that it points to must be readable, and result be a struct of its size.
 */
int32_t homing_open(homing_handle balancer, const struct homing_request *request, struct homing_open_result *result);

/**
 * Takes a place on an upstream that the host has chosen itself, for homing_finish() to end: so policies,
 * limits and figures know of it. session and decision are what homing_open() said; the session of a new one
 * is any random number.
 *
 * lease must take a handle.
 */
int32_t homing_lease(homing_handle balancer,
                     uint64_t id,
                     uint64_t session,
                     int32_t decision,
                     uint64_t now_ms,
                     homing_handle *lease);

/**
 * Says which token to send to the client of a session that is now on the upstream of this id, and changes
 * nothing: HOMING_NOTHING, and a length of 0, where what the request carries says so already, or there is no
 * affinity. The session goes on that the request's token has; without a good one it begins now, under the number
 * that is given as session, which homing_open() said.
 *
 * request and all that it points to must be readable, buf must take cap bytes (at least HOMING_TOKEN_LEN), and len a
 * size.
 */
int32_t homing_token_for(homing_handle balancer,
                         uint64_t id,
                         uint64_t session,
                         const struct homing_request *request,
                         uint8_t *buf,
                         size_t cap,
                         size_t *len);

/**
 * Takes the cookie of affinity out of a Cookie header's value, for the request that goes on to the upstream, which has
 * no use for it. What is left may be nothing: then send no such header. It is never longer than what came.
 *
 * cookie must have cookie_len bytes, buf must take cap bytes, and len a size.
 */
int32_t homing_strip_cookie(homing_handle balancer,
                            const uint8_t *cookie,
                            size_t cookie_len,
                            uint8_t *buf,
                            size_t cap,
                            size_t *len);

/**
 * The value of the Set-Cookie header that gives a client a token: name, token and attributes as configured.
 * flags may have HOMING_REQUEST_HTTPS.
 *
 * token must have token_len bytes, buf must take cap bytes, and len a size.
 */
int32_t homing_set_cookie(homing_handle balancer,
                          const uint8_t *token,
                          size_t token_len,
                          uint32_t flags,
                          uint8_t *buf,
                          size_t cap,
                          size_t *len);

/**
 * The greatest length of a Set-Cookie value of this balancer, in bytes.
 *
 * len must take a size.
 */
int32_t homing_set_cookie_max(homing_handle balancer, size_t *len);

/**
 * Says line by line, as UTF-8 text for people, what homing_pick() would do with the request now and why.
 * Changes nothing.
 *
 * request and all that it points to must be readable, buf must take cap bytes, and len a size.
 */
int32_t homing_explain(homing_handle balancer,
                       const struct homing_request *request,
                       uint8_t *buf,
                       size_t cap,
                       size_t *len);

/**
 * Tells how a probe of an upstream fared: result is HOMING_PROBE_, and http_status the status with
 * HOMING_PROBE_STATUS. Probing is optional: upstreams are judged by their requests too.
 */
int32_t homing_probe(homing_handle balancer, uint64_t id, int32_t result, uint16_t http_status, uint64_t now_ms);

/**
 * Lets time pass: upstreams that were out return, slow starts end, silence is noticed, sessions are
 * rebalanced. Call it some ten times a second, from any one thread; the library has none of its own. It
 * looks at every upstream.
 */
int32_t homing_tick(homing_handle balancer, uint64_t now_ms);

/**
 * Lets an upstream take no new sessions. Those it has stay; where deadline_ms is not HOMING_FOREVER they
 * leave after so many milliseconds, each at a moment of its own. An event says when it is drained.
 */
int32_t homing_drain(homing_handle balancer, uint64_t id, uint64_t deadline_ms, uint64_t now_ms);

/**
 * Ends a drain: the upstream takes sessions again, slowly at first.
 */
int32_t homing_resume(homing_handle balancer, uint64_t id, uint64_t now_ms);

/**
 * When a session has to leave its upstream, which is drained with a deadline: for hosts with WebSockets,
 * which close them then. HOMING_NOTHING where it may stay. session is what the pick said.
 *
 * at_ms must take a time.
 */
int32_t homing_departure(homing_handle balancer, uint64_t id, uint64_t session, uint64_t *at_ms);

/**
 * Says which process is behind an upstream now: any number but 0 that is constant for the process' life and
 * most likely another for the next. Sessions of an earlier one have lost what it kept in memory; the
 * decision says so.
 */
int32_t homing_set_incarnation(homing_handle balancer, uint64_t id, uint16_t incarnation, uint64_t now_ms);

/**
 * Sets the two verdicts on an upstream: whether it takes new sessions, and whether it serves those it has; each 0
 * or 1. For hosts that judge by themselves: they configure silence_ms as HOMING_FOREVER, and report no outcomes
 * and no probes, or the library's own verdict comes on top.
 */
int32_t homing_set_health(homing_handle balancer, uint64_t id, int32_t accepting, int32_t serving);

/**
 * Begins a plan: a change of the cluster as it is now, which is made by homing_plan_apply() whole or not at
 * all. Free it with homing_plan_free().
 *
 * plan must take a handle.
 */
int32_t homing_plan_new(homing_handle balancer, homing_handle *plan);

/**
 * Adds an upstream to the plan, or changes the one of its name. With a new address it is a new process,
 * whose counts start anew.
 *
 * upstream and all that it points to must be readable.
 */
int32_t homing_plan_put(homing_handle plan, const struct homing_upstream_options *upstream);

/**
 * Removes the upstream of this name in the plan. Its requests in flight finish, its sessions move at their
 * next.
 *
 * name must have name_len bytes.
 */
int32_t homing_plan_remove(homing_handle plan, const uint8_t *name, size_t name_len);

/**
 * Removes all upstreams that the plan does not put, now or later: for hosts that are told the whole cluster at a time.
 */
int32_t homing_plan_clear(homing_handle plan);

/**
 * Says line by line, as UTF-8 text for people, what the plan would do: who comes and goes, which sessions
 * break, how much capacity is left.
 *
 * buf must take cap bytes, and len a size.
 */
int32_t homing_plan_explain(homing_handle plan, uint64_t now_ms, uint8_t *buf, size_t cap, size_t *len);

/**
 * Makes the change, and says the generation that began with it. HOMING_ERR_CONFIG where it makes no sense;
 * HOMING_ERR_GENERATION where another change came first: then begin another plan. Requests are picked
 * meanwhile as before. The plan is still to be freed.
 *
 * generation must take a number.
 */
int32_t homing_plan_apply(homing_handle plan, uint64_t *generation);

/**
 * Frees a plan, whether it was applied or not.
 */
int32_t homing_plan_free(homing_handle plan);

/**
 * How the upstream at index is doing, and its name, which is copied to name unless that is NULL (then
 * name_cap is 0 and name_len NULL).
 *
 * status must be a struct of its size, name must take name_cap bytes, and name_len a size.
 */
int32_t homing_status(homing_handle balancer,
                      uint32_t index,
                      uint64_t now_ms,
                      struct homing_upstream_status *status,
                      uint8_t *name,
                      size_t name_cap,
                      size_t *name_len);

/**
 * The id and the index of the upstream of this name.
 *
 * name must have name_len bytes, id and index each take a number.
 */
int32_t homing_find(homing_handle balancer, const uint8_t *name, size_t name_len, uint64_t *id, uint32_t *index);

/**
 * How all upstreams are doing, as JSON: an object with generation, panics and upstreams, an array of objects
 * with the members of struct homing_upstream_status (state as its name, decided as an object), name, address
 * and cause.
 *
 * buf must take cap bytes, and len a size.
 */
int32_t homing_status_json(homing_handle balancer, uint64_t now_ms, uint8_t *buf, size_t cap, size_t *len);

/**
 * Collects what happens in a balancer from here on, for homing_events_next() to take; up to 4096 events
 * wait. Free it with homing_events_free().
 *
 * events must take a handle.
 */
int32_t homing_events_new(homing_handle balancer, homing_handle *events);

/**
 * Takes the next event, with a line of UTF-8 text for people, or returns HOMING_NOTHING. With
 * HOMING_ERR_BUFFER the event stays.
 *
 * event must be a struct of its size, buf must take cap bytes, and len a size.
 */
int32_t homing_events_next(homing_handle events, struct homing_event *event, uint8_t *buf, size_t cap, size_t *len);

/**
 * Ends a stream of events.
 */
int32_t homing_events_free(homing_handle events);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HOMING_H */
