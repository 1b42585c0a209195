#include "functions.h"

#include <stddef.h>

char key_path[4096];

static void log_nothing(int32_t level, const uint8_t *text, size_t text_len, void *user)
{
    (void)level, (void)text, (void)text_len, (void)user;
}

/* ---- records ---- */

#define FIELD(kind, record, name, limit) {kind, offsetof(record, name), offsetof(record, name##_len), limit}
#define WRONG(record, name, value, status) {offsetof(record, name), sizeof(((record *)0)->name), value, status}
#define NO_FIELD {NONE, 0, 0, 0}
#define NO_WRONG {0, 0, 0, 0}

static const struct field no_fields[] = {NO_FIELD};
static const struct wrong no_wrongs[] = {NO_WRONG};

static void fill_upstream(struct world *world, void *record)
{
    homing_upstream_options *upstream = (homing_upstream_options *)record;
    (void)world;
    memset(upstream, 0, sizeof *upstream);
    upstream->size = sizeof *upstream;
    upstream->name = bytes("app-3");
    upstream->name_len = 5;
    upstream->address = bytes("10.0.0.3:80");
    upstream->address_len = 11;
    upstream->weight = 2;
}

static const struct field upstream_fields[] = {
    FIELD(UTF8, homing_upstream_options, name, HOMING_NAME_MAX),
    FIELD(UTF8, homing_upstream_options, address, 4096),
    NO_FIELD,
};
static const struct wrong upstream_wrongs[] = {
    WRONG(homing_upstream_options, weight, 65536, HOMING_ERR_VALUE),
    NO_WRONG,
};
static const struct record upstream = {
    sizeof(homing_upstream_options), fill_upstream, NULL, upstream_fields, upstream_wrongs,
};

static void fill_affinity(struct world *world, void *record)
{
    homing_affinity_options *affinity = (homing_affinity_options *)record;
    (void)world;
    memset(affinity, 0, sizeof *affinity);
    affinity->size = sizeof *affinity;
    affinity->same_site = HOMING_SAME_SITE_STRICT;
    affinity->cookie = bytes("sid");
    affinity->cookie_len = 3;
}

static const struct field affinity_fields[] = {
    FIELD(UTF8, homing_affinity_options, cookie, 4096),
    FIELD(UTF8, homing_affinity_options, domain, 4096),
    FIELD(UTF8, homing_affinity_options, path, 4096),
    NO_FIELD,
};
static const struct wrong affinity_wrongs[] = {
    WRONG(homing_affinity_options, on_unavailable, 2, HOMING_ERR_VALUE),
    WRONG(homing_affinity_options, on_full, 2, HOMING_ERR_VALUE),
    WRONG(homing_affinity_options, on_restart, 2, HOMING_ERR_VALUE),
    WRONG(homing_affinity_options, same_site, 3, HOMING_ERR_VALUE),
    WRONG(homing_affinity_options, secure, 3, HOMING_ERR_VALUE),
    WRONG(homing_affinity_options, partitioned, 2, HOMING_ERR_VALUE),
    WRONG(homing_affinity_options, partitioned, (uint32_t)-1, HOMING_ERR_VALUE),
    NO_WRONG,
};
static const struct record affinity = {
    sizeof(homing_affinity_options), fill_affinity, NULL, affinity_fields, affinity_wrongs,
};

static void fill_health(struct world *world, void *record)
{
    homing_health_options *health = (homing_health_options *)record;
    (void)world;
    memset(health, 0, sizeof *health);
    health->size = sizeof *health;
    health->fall = 3;
    health->silence_ms = UINT64_MAX;
}

static const struct record health = {sizeof(homing_health_options), fill_health, NULL, no_fields, no_wrongs};

static void fill_first(struct world *world, void *record)
{
    static const uint8_t client[4] = {192, 0, 2, 1};
    homing_request *request = (homing_request *)record;
    (void)world;
    memset(request, 0, sizeof *request);
    request->size = sizeof *request;
    request->now_ms = NOW;
    request->client = client;
    request->client_len = sizeof client;
    request->key = bytes("user");
    request->key_len = 4;
    request->flags = HOMING_REQUEST_HTTPS;
}

static void fill_again(struct world *world, void *record)
{
    static const uint8_t eligible[1] = {3};
    homing_request *request = (homing_request *)record;
    fill_first(world, request);
    request->generation = world->generation;
    request->cookie = bytes(world->cookie);
    request->cookie_len = strlen(world->cookie);
    request->tried = &world->other_id;
    request->tried_len = 1;
    request->eligible = eligible;
    request->eligible_len = 1;
}

static const struct field request_fields[] = {
    FIELD(BYTES, homing_request, client, 16),
    FIELD(BYTES, homing_request, key, HOMING_INPUT_MAX),
    FIELD(BYTES, homing_request, cookie, HOMING_INPUT_MAX),
    FIELD(BYTES, homing_request, token, HOMING_INPUT_MAX),
    FIELD(BYTES, homing_request, tried, 10000),
    FIELD(BYTES, homing_request, eligible, 1250),
    NO_FIELD,
};
static const struct wrong first_wrongs[] = {
    WRONG(homing_request, client_len, 3, HOMING_ERR_VALUE),
    WRONG(homing_request, flags, 4, HOMING_ERR_VALUE),
    WRONG(homing_request, flags, UINT32_MAX, HOMING_ERR_VALUE),
    WRONG(homing_request, reserved, 1, HOMING_ERR_VALUE),
    NO_WRONG,
};
static const struct wrong again_wrongs[] = {
    WRONG(homing_request, client_len, 3, HOMING_ERR_VALUE),
    WRONG(homing_request, flags, 4, HOMING_ERR_VALUE),
    WRONG(homing_request, generation, 1u << 30, HOMING_ERR_GENERATION),
    NO_WRONG,
};
static const struct record first = {sizeof(homing_request), fill_first, NULL, request_fields, first_wrongs};
static const struct record again = {sizeof(homing_request), fill_again, NULL, request_fields, again_wrongs};

static void finish_pick(struct world *world, void *record)
{
    const homing_pick_result *pick = (const homing_pick_result *)record;
    CHECK(pick->decision == HOMING_DECISION_PINNED && pick->id == world->id && pick->index == 0);
    EXPECT(HOMING_OK, homing_finish(world->live[BALANCER], pick->lease, HOMING_OUTCOME_ANSWERED, 0, NOW));
}

static const struct record picked = {sizeof(homing_pick_result), NULL, finish_pick, no_fields, no_wrongs};
static const struct record opened = {sizeof(homing_open_result), NULL, NULL, no_fields, no_wrongs};
static const struct record status = {sizeof(homing_upstream_status), NULL, NULL, no_fields, no_wrongs};
static const struct record event = {sizeof(homing_event), NULL, NULL, no_fields, no_wrongs};

/* ---- functions ---- */

#define IN(i) ((const uint8_t *)a[i].p)
#define OUT(i) ((uint8_t *)a[i].p)
#define LEN(i) ((size_t *)a[i].p)
#define U64(i) ((uint64_t *)a[i].p)
#define U32(i) ((uint32_t *)a[i].p)
#define I(i) ((int32_t)a[i].u)
#define CALL(name, ...)                                                        \
    static int32_t call_##name(const struct arg *a)                            \
    {                                                                          \
        return homing_##name(__VA_ARGS__);                                     \
    }

static int32_t call_abi_version(const struct arg *a)
{
    (void)a;
    return homing_abi_version() == HOMING_ABI_VERSION ? HOMING_OK : INT32_MIN;
}

static int32_t call_set_log(const struct arg *a)
{
    (void)a;
    return homing_set_log(log_nothing, NULL);
}

CALL(version, OUT(0), a[1].n, LEN(2))
CALL(last_error, OUT(0), a[1].n, LEN(2))
CALL(decision_name, I(0), OUT(1), a[2].n, LEN(3))
CALL(keyring_generate, IN(0), a[1].n, U64(2))
CALL(keyring_load, IN(0), a[1].n, U64(2))
CALL(keyring_new, IN(0), a[1].n, IN(2), a[3].n, U64(4))
CALL(keyring_add, a[0].u, (uint8_t)a[1].u, IN(2), a[3].n, I(4))
CALL(keyring_free, a[0].u)
CALL(config_new, U64(0))
CALL(config_parse, IN(0), a[1].n, U64(2))
CALL(config_upstream, a[0].u, (const homing_upstream_options *)a[1].p)
CALL(config_policy, a[0].u, IN(1), a[2].n)
CALL(config_policy_param, a[0].u, IN(1), a[2].n, IN(3), a[4].n)
CALL(config_affinity, a[0].u, (const homing_affinity_options *)a[1].p)
CALL(config_health, a[0].u, (const homing_health_options *)a[1].p)
CALL(config_seed, a[0].u, a[1].u)
CALL(config_free, a[0].u)
CALL(balancer_new, a[0].u, a[1].u, U64(2))
CALL(balancer_free, a[0].u)
CALL(balancer_set_keys, a[0].u, a[1].u)
CALL(balancer_upstreams, a[0].u, LEN(1), U64(2))
CALL(pick, a[0].u, (const homing_request *)a[1].p, (homing_pick_result *)a[2].p, OUT(3), a[4].n, LEN(5), OUT(6), a[7].n,
     LEN(8))
CALL(address, a[0].u, a[1].u, OUT(2), a[3].n, LEN(4))
CALL(set_cookie_max, a[0].u, LEN(1))
CALL(open, a[0].u, (const homing_request *)a[1].p, (homing_open_result *)a[2].p)
CALL(lease, a[0].u, a[1].u, a[2].u, I(3), a[4].u, U64(5))
CALL(token_for, a[0].u, a[1].u, a[2].u, (const homing_request *)a[3].p, OUT(4), a[5].n, LEN(6))
CALL(set_cookie, a[0].u, IN(1), a[2].n, (uint32_t)a[3].u, OUT(4), a[5].n, LEN(6))
CALL(strip_cookie, a[0].u, IN(1), a[2].n, OUT(3), a[4].n, LEN(5))
CALL(explain, a[0].u, (const homing_request *)a[1].p, OUT(2), a[3].n, LEN(4))
CALL(finish, a[0].u, a[1].u, I(2), a[3].u, a[4].u)
CALL(report, a[0].u, a[1].u, I(2), a[3].u, a[4].u)
CALL(probe, a[0].u, a[1].u, I(2), (uint16_t)a[3].u, a[4].u)
CALL(tick, a[0].u, a[1].u)
CALL(drain, a[0].u, a[1].u, a[2].u, a[3].u)
CALL(resume, a[0].u, a[1].u, a[2].u)
CALL(departure, a[0].u, a[1].u, a[2].u, U64(3))
CALL(set_incarnation, a[0].u, a[1].u, (uint16_t)a[2].u, a[3].u)
CALL(set_health, a[0].u, a[1].u, I(2), I(3))
CALL(plan_new, a[0].u, U64(1))
CALL(plan_put, a[0].u, (const homing_upstream_options *)a[1].p)
CALL(plan_remove, a[0].u, IN(1), a[2].n)
CALL(plan_clear, a[0].u)
CALL(plan_explain, a[0].u, a[1].u, OUT(2), a[3].n, LEN(4))
CALL(plan_apply, a[0].u, U64(1))
CALL(plan_free, a[0].u)
CALL(status, a[0].u, (uint32_t)a[1].u, a[2].u, (homing_upstream_status *)a[3].p, OUT(4), a[5].n, LEN(6))
CALL(find, a[0].u, IN(1), a[2].n, U64(3), U32(4))
CALL(status_json, a[0].u, a[1].u, OUT(2), a[3].n, LEN(4))
CALL(events_new, a[0].u, U64(1))
CALL(events_next, a[0].u, (homing_event *)a[1].p, OUT(2), a[3].n, LEN(4))
CALL(events_free, a[0].u)

#define PARAM(kind, at, type, bytes, number, limit, status, record)            \
    {kind, at, type, bytes, number, limit, status, record}
#define NUMBER(at, good) PARAM(NUMBER, at, TYPES, NULL, good, 0, 0, NULL)
#define TIME(at) NUMBER(at, NOW)
#define ONE_OF(at, good, count, status) PARAM(ONE_OF, at, TYPES, NULL, good, count, status, NULL)
#define ID(at) PARAM(ID, at, TYPES, NULL, 0, 0, 0, NULL)
#define HANDLE(at, type) PARAM(HANDLE, at, type, NULL, 0, 0, 0, NULL)
#define HANDLE_OR_0(at, type) PARAM(HANDLE_OR_0, at, type, NULL, 0, 0, 0, NULL)
#define HANDLE_OR_FREED(at, type) PARAM(HANDLE_OR_FREED, at, type, NULL, 0, 0, 0, NULL)
#define BYTES(at, good, limit) PARAM(BYTES, at, TYPES, good, 0, limit, 0, NULL)
#define UTF8(at, good, limit) PARAM(UTF8, at, TYPES, good, 0, limit, 0, NULL)
#define PLACE(at, size) PARAM(PLACE, at, TYPES, NULL, 0, size, 0, NULL)
#define NEW(at, type) PARAM(NEW, at, type, NULL, 0, sizeof(homing_handle), 0, NULL)
#define OPTIONS(at, record) PARAM(OPTIONS, at, TYPES, NULL, 0, 0, 0, &record)
#define RESULT(at, record) PARAM(RESULT, at, TYPES, NULL, 0, 0, 0, &record)
#define TEXT(at) PARAM(TEXT, at, TYPES, NULL, 0, 0, 0, NULL)
#define OPTIONAL_TEXT(at) PARAM(OPTIONAL_TEXT, at, TYPES, NULL, 0, 0, 0, NULL)
#define NO_PARAM PARAM(NONE, 0, TYPES, NULL, 0, 0, 0, NULL)

#define FUNCTION(name, ...) {"homing_" #name, call_##name, TYPES, {__VA_ARGS__}}
#define ENDS(name, type, ...) {"homing_" #name, call_##name, type, {__VA_ARGS__}}

#define SECRET "0123456789abcdef0123456789abcdef"
#define TOKEN "01234567890123456789012345678901234567890123456789012345"

const struct function functions[] = {
    FUNCTION(abi_version, NO_PARAM),
    FUNCTION(version, TEXT(0)),
    FUNCTION(last_error, TEXT(0)),
    FUNCTION(decision_name, ONE_OF(0, HOMING_DECISION_BAD_TAG, HOMING_DECISIONS, HOMING_ERR_VALUE), TEXT(1)),
    FUNCTION(set_log, NO_PARAM),

    FUNCTION(keyring_generate, UTF8(0, "shop", HOMING_NAME_MAX), NEW(2, RING)),
    FUNCTION(keyring_load, UTF8(0, key_path, 4096), NEW(2, RING)),
    FUNCTION(keyring_new, UTF8(0, "shop", HOMING_NAME_MAX), BYTES(2, SECRET, 1024), NEW(4, PARTS)),
    FUNCTION(keyring_add, HANDLE(0, PARTS), NUMBER(1, 3), BYTES(2, SECRET, 1024),
             ONE_OF(4, 1, 2, HOMING_ERR_VALUE)),
    ENDS(keyring_free, RING, HANDLE_OR_0(0, RING)),

    FUNCTION(config_new, NEW(0, CONFIG)),
    FUNCTION(config_parse, UTF8(0, "[[upstream]]\nname = \"a\"\naddress = \"10.0.0.1:80\"\n", HOMING_CONFIG_MAX),
             NEW(2, CONFIG)),
    FUNCTION(config_upstream, HANDLE(0, CONFIG), OPTIONS(1, upstream)),
    FUNCTION(config_policy, HANDLE(0, CONFIG), UTF8(1, "p2c", HOMING_NAME_MAX)),
    FUNCTION(config_policy_param, HANDLE(0, CONFIG), UTF8(1, "d", HOMING_NAME_MAX), UTF8(3, "3", 4096)),
    FUNCTION(config_affinity, HANDLE(0, CONFIG), OPTIONS(1, affinity)),
    FUNCTION(config_health, HANDLE(0, CONFIG), OPTIONS(1, health)),
    FUNCTION(config_seed, HANDLE(0, CONFIG), NUMBER(1, 7)),
    ENDS(config_free, CONFIG, HANDLE_OR_0(0, CONFIG)),

    FUNCTION(balancer_new, HANDLE(0, CONFIG), HANDLE_OR_0(1, RING), NEW(2, BALANCER)),
    ENDS(balancer_free, BALANCER, HANDLE_OR_0(0, BALANCER)),
    FUNCTION(balancer_set_keys, HANDLE(0, BALANCER), HANDLE(1, RING)),
    FUNCTION(balancer_upstreams, HANDLE(0, BALANCER), PLACE(1, sizeof(size_t)), PLACE(2, sizeof(uint64_t))),

    FUNCTION(pick, HANDLE(0, BALANCER), OPTIONS(1, again), RESULT(2, picked), OPTIONAL_TEXT(3), OPTIONAL_TEXT(6)),
    FUNCTION(address, HANDLE(0, BALANCER), ID(1), TEXT(2)),
    FUNCTION(set_cookie_max, HANDLE(0, BALANCER), PLACE(1, sizeof(size_t))),
    FUNCTION(open, HANDLE(0, BALANCER), OPTIONS(1, again), RESULT(2, opened)),
    FUNCTION(lease, HANDLE(0, BALANCER), ID(1), NUMBER(2, 7),
             ONE_OF(3, HOMING_DECISION_NEW, HOMING_DECISIONS, HOMING_ERR_VALUE), TIME(4), NEW(5, LEASE)),
    FUNCTION(token_for, HANDLE(0, BALANCER), ID(1), NUMBER(2, 7), OPTIONS(3, first), TEXT(4)),
    FUNCTION(set_cookie, HANDLE(0, BALANCER), BYTES(1, TOKEN, HOMING_INPUT_MAX),
             ONE_OF(3, HOMING_REQUEST_HTTPS, 2, HOMING_ERR_VALUE), TEXT(4)),
    FUNCTION(strip_cookie, HANDLE(0, BALANCER), BYTES(1, "theme=dark; homing=x", HOMING_INPUT_MAX), TEXT(3)),
    FUNCTION(explain, HANDLE(0, BALANCER), OPTIONS(1, again), TEXT(2)),

    ENDS(finish, LEASE, HANDLE_OR_FREED(0, BALANCER), HANDLE(1, LEASE),
         ONE_OF(2, HOMING_OUTCOME_ANSWERED, 7, HOMING_ERR_VALUE), NUMBER(3, 1000), TIME(4)),
    FUNCTION(report, HANDLE(0, BALANCER), HANDLE(1, LEASE), ONE_OF(2, HOMING_OUTCOME_ANSWERED, 7, HOMING_ERR_VALUE),
             NUMBER(3, 1000), TIME(4)),
    FUNCTION(probe, HANDLE(0, BALANCER), ID(1), ONE_OF(2, HOMING_PROBE_STATUS, 5, HOMING_ERR_VALUE),
             NUMBER(3, 500), TIME(4)),
    FUNCTION(tick, HANDLE(0, BALANCER), TIME(1)),
    FUNCTION(drain, HANDLE(0, BALANCER), ID(1), NUMBER(2, 60000), TIME(3)),
    FUNCTION(resume, HANDLE(0, BALANCER), ID(1), TIME(2)),
    FUNCTION(departure, HANDLE(0, BALANCER), ID(1), NUMBER(2, 7), PLACE(3, sizeof(uint64_t))),
    FUNCTION(set_incarnation, HANDLE(0, BALANCER), ID(1), NUMBER(2, 9), TIME(3)),
    FUNCTION(set_health, HANDLE(0, BALANCER), ID(1), ONE_OF(2, 1, 2, HOMING_ERR_VALUE),
             ONE_OF(3, 1, 2, HOMING_ERR_VALUE)),

    FUNCTION(plan_new, HANDLE(0, BALANCER), NEW(1, PLAN)),
    FUNCTION(plan_put, HANDLE(0, PLAN), OPTIONS(1, upstream)),
    FUNCTION(plan_remove, HANDLE(0, PLAN), UTF8(1, "app-1", HOMING_NAME_MAX)),
    FUNCTION(plan_clear, HANDLE(0, PLAN)),
    FUNCTION(plan_explain, HANDLE(0, PLAN), TIME(1), TEXT(2)),
    FUNCTION(plan_apply, HANDLE(0, PLAN), PLACE(1, sizeof(uint64_t))),
    ENDS(plan_free, PLAN, HANDLE_OR_0(0, PLAN)),

    FUNCTION(status, HANDLE(0, BALANCER), ONE_OF(1, 1, 2, HOMING_ERR_UNKNOWN), TIME(2), RESULT(3, status),
             OPTIONAL_TEXT(4)),
    FUNCTION(find, HANDLE(0, BALANCER), UTF8(1, "app-2", HOMING_NAME_MAX), PLACE(3, sizeof(uint64_t)),
             PLACE(4, sizeof(uint32_t))),
    FUNCTION(status_json, HANDLE(0, BALANCER), TIME(1), TEXT(2)),

    FUNCTION(events_new, HANDLE(0, BALANCER), NEW(1, EVENTS)),
    FUNCTION(events_next, HANDLE(0, EVENTS), RESULT(1, event), TEXT(2)),
    ENDS(events_free, EVENTS, HANDLE_OR_0(0, EVENTS)),
};

const size_t functions_len = sizeof functions / sizeof functions[0];
