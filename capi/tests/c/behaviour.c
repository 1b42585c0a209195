/* What functions do together, each called correctly.
 *
 * behaviour FILE    the path of a key file that does not exist yet and is created
 */
#include "world.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static homing_request request_at(uint64_t now)
{
    homing_request request;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.now_ms = now;
    return request;
}

static homing_pick_result no_pick(void)
{
    homing_pick_result pick;
    memset(&pick, 0, sizeof pick);
    pick.size = sizeof pick;
    return pick;
}

static int32_t pick(homing_handle balancer, const homing_request *request, homing_pick_result *result)
{
    *result = no_pick();
    return homing_pick(balancer, request, result, NULL, 0, NULL, NULL, 0, NULL);
}

static void finish(homing_handle balancer, const homing_pick_result *picked, int32_t outcome, uint64_t now)
{
    EXPECT(HOMING_OK, homing_finish(balancer, picked->lease, outcome, 1000, now));
}

static void expect_text(const char *expected, const uint8_t *text, size_t len)
{
    if (len != strlen(expected) || memcmp(text, expected, len) != 0) {
        fprintf(stderr, "\"%.*s\" is not \"%s\"\n", (int)len, (const char *)text, expected);
        exit(1);
    }
}

static homing_handle generated(void)
{
    homing_handle ring = 0;
    EXPECT(HOMING_OK, homing_keyring_generate(bytes("shop"), 4, &ring));
    return ring;
}

static homing_handle ring_of(const char *signer)
{
    const uint8_t *identity = bytes("iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii"),
                  *old = bytes("oooooooooooooooooooooooooooooooo"),
                  *fresh = bytes("nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
    int is_old = strcmp(signer, "old") == 0;
    homing_handle ring = 0;
    EXPECT(HOMING_OK, homing_keyring_new(bytes("shop"), 4, identity, 32, &ring));
    EXPECT(HOMING_OK, homing_keyring_add(ring, 1, old, 32, is_old));
    EXPECT(HOMING_OK, homing_keyring_add(ring, 2, fresh, 32, !is_old));
    return ring;
}

static void version_and_names(void)
{
    uint8_t text[256], before[256];
    size_t len = 0, before_len = 0;
    int32_t decision;
    CHECK(homing_abi_version() == HOMING_ABI_VERSION);
    EXPECT(HOMING_OK, homing_version(text, sizeof text, &len));
    CHECK(len >= 5 && text[1] == '.');
    for (decision = 0; decision < (int32_t)HOMING_DECISIONS; decision++) {
        EXPECT(HOMING_OK, homing_decision_name(decision, text, sizeof text, &len));
        CHECK(len != before_len || memcmp(text, before, len) != 0);
        memcpy(before, text, len);
        before_len = len;
    }
    EXPECT(HOMING_OK, homing_decision_name(HOMING_DECISION_OTHER_INCARNATION, text, sizeof text, &len));
    expect_text("other_incarnation", text, len);
}

static void *err_elsewhere(void *argument)
{
    (void)argument;
    EXPECT(HOMING_ERR_HANDLE, homing_plan_free(1));
    return NULL;
}

/* Each thread has its own last error, which stays until its next one. */
static void last_errors(void)
{
    uint8_t text[256], again[256];
    size_t len = 0, again_len = 0;
    pthread_t thread;
    EXPECT(HOMING_ERR_HANDLE, homing_config_free(1));
    EXPECT(HOMING_OK, homing_last_error(text, sizeof text, &len));
    CHECK(pthread_create(&thread, NULL, err_elsewhere, NULL) == 0 && pthread_join(thread, NULL) == 0);
    EXPECT(HOMING_OK, homing_version(again, sizeof again, &again_len));
    EXPECT(HOMING_ERR_BUFFER, homing_last_error(again, 3, &again_len));
    CHECK(again_len == len);
    EXPECT(HOMING_OK, homing_last_error(again, len, &again_len));
    CHECK(len > 10 && again_len == len && memcmp(text, again, len) == 0);
}

/* A first request gets a cookie; with it the session stays, also in another balancer with the same keys. */
static void cookies(void)
{
    homing_handle ring = ring_of("old"), one = example_balancer(ring), other = example_balancer(ring);
    homing_request request = request_at(NOW);
    homing_pick_result first = no_pick(), second;
    homing_open_result opened;
    uint8_t name[HOMING_NAME_MAX], cookie[1024], value[1024], token[HOMING_TOKEN_LEN];
    size_t name_len = 0, cookie_len = 0, value_len = 0, max = 0, token_len = 0;
    char header[1024];
    EXPECT(HOMING_OK, homing_set_cookie_max(one, &max));
    CHECK(max <= sizeof cookie);
    request.flags = HOMING_REQUEST_HTTPS;
    EXPECT(HOMING_OK, homing_pick(one, &request, &first, name, sizeof name, &name_len, cookie, max, &cookie_len));
    CHECK(first.decision == HOMING_DECISION_NEW && name_len == 5 && name[4] == '1' + first.index);
    CHECK(cookie_len > HOMING_TOKEN_LEN && cookie_len <= max && memcmp(cookie, "homing=", 7) == 0);
    CHECK(memcmp(cookie + 7, first.token, HOMING_TOKEN_LEN) == 0);
    EXPECT(HOMING_OK, homing_set_cookie(one, first.token, first.token_len, request.flags, value, max, &value_len));
    CHECK(value_len == cookie_len && memcmp(value, cookie, value_len) == 0);
    finish(one, &first, HOMING_OUTCOME_ANSWERED, NOW);

    snprintf(header, sizeof header, "a=b; homing=%.*s; c=d", HOMING_TOKEN_LEN, (const char *)first.token);
    request.cookie = bytes(header);
    request.cookie_len = strlen(header);
    second = no_pick();
    EXPECT(HOMING_OK, homing_pick(other, &request, &second, NULL, 0, NULL, cookie, max, &cookie_len));
    CHECK(second.decision == HOMING_DECISION_PINNED && second.id == first.id && second.session == first.session);
    CHECK(cookie_len == 0 && second.token_len == 0);
    finish(other, &second, HOMING_OUTCOME_ANSWERED, NOW);
    EXPECT(HOMING_NOTHING, homing_token_for(other, first.id, first.session, &request, token, sizeof token, &token_len));

    memset(&opened, 0, sizeof opened);
    opened.size = sizeof opened;
    EXPECT(HOMING_OK, homing_open(other, &request, &opened));
    CHECK(opened.decision == HOMING_DECISION_PINNED && opened.id == first.id && opened.session == first.session);
    header[12] ^= 1;
    EXPECT(HOMING_OK, homing_open(other, &request, &opened));
    CHECK(opened.decision != HOMING_DECISION_PINNED && opened.id == 0 && opened.index == HOMING_NO_INDEX);

    EXPECT(HOMING_OK, homing_balancer_free(one));
    EXPECT(HOMING_OK, homing_balancer_free(other));
    EXPECT(HOMING_OK, homing_keyring_free(ring));
}

/* After a rotation old tokens are valid, and are replaced by new ones. */
static void rotation(void)
{
    homing_handle old = ring_of("old"), fresh = ring_of("fresh"), balancer = example_balancer(old);
    homing_request request = request_at(NOW);
    homing_pick_result first, second, third;
    EXPECT(HOMING_OK, pick(balancer, &request, &first));
    finish(balancer, &first, HOMING_OUTCOME_ANSWERED, NOW);
    EXPECT(HOMING_OK, homing_balancer_set_keys(balancer, fresh));
    request.token = first.token;
    request.token_len = first.token_len;
    EXPECT(HOMING_OK, pick(balancer, &request, &second));
    CHECK(second.decision == HOMING_DECISION_PINNED && second.token_len == HOMING_TOKEN_LEN);
    finish(balancer, &second, HOMING_OUTCOME_ANSWERED, NOW);
    request.token = second.token;
    EXPECT(HOMING_OK, pick(balancer, &request, &third));
    CHECK(third.decision == HOMING_DECISION_PINNED && third.token_len == 0 && third.session == first.session);
    finish(balancer, &third, HOMING_OUTCOME_ANSWERED, NOW);
    EXPECT(HOMING_OK, homing_balancer_free(balancer));
    EXPECT(HOMING_OK, homing_keyring_free(old));
    EXPECT(HOMING_OK, homing_keyring_free(fresh));
}

/* Upstreams that are not eligible, or were tried, get no session; indices of another generation are refused. */
static void tried_and_eligible(void)
{
    homing_handle balancer = example_balancer(0), plan = 0;
    homing_request request = request_at(NOW);
    homing_pick_result picked;
    uint64_t tried[1] = {0};
    uint32_t index = 7;
    uint8_t eligible[1] = {1};
    uint64_t generation = 0, next = 0;
    size_t count = 0;
    int i;
    EXPECT(HOMING_OK, homing_balancer_upstreams(balancer, &count, &generation));
    CHECK(count == 2);
    EXPECT(HOMING_OK, homing_find(balancer, bytes("app-1"), 5, tried, &index));
    CHECK(index == 0);
    request.generation = generation;
    for (i = 0; i < 20; i++) {
        request.tried = i % 2 ? tried : NULL;
        request.tried_len = i % 2;
        request.eligible = i % 2 ? NULL : eligible;
        request.eligible_len = 1 - i % 2;
        EXPECT(HOMING_OK, pick(balancer, &request, &picked));
        CHECK(picked.index == (uint32_t)i % 2 && picked.generation == generation);
        finish(balancer, &picked, HOMING_OUTCOME_ANSWERED, NOW);
    }
    request.tried = tried;
    request.tried_len = 1;
    request.eligible = eligible;
    request.eligible_len = 1;
    EXPECT(HOMING_ERR_UNAVAILABLE, pick(balancer, &request, &picked));

    EXPECT(HOMING_OK, homing_plan_new(balancer, &plan));
    EXPECT(HOMING_OK, homing_plan_remove(plan, bytes("app-1"), 5));
    EXPECT(HOMING_OK, homing_plan_apply(plan, &next));
    CHECK(next > generation);
    EXPECT(HOMING_ERR_GENERATION, pick(balancer, &request, &picked));
    EXPECT(HOMING_ERR_GENERATION, homing_plan_apply(plan, &next));
    EXPECT(HOMING_OK, homing_plan_free(plan));
    EXPECT(HOMING_OK, homing_balancer_free(balancer));
}

static homing_handle one_upstream(uint32_t max_in_flight, int32_t on_unavailable, uint64_t hold_ms)
{
    homing_handle config = 0, ring = generated(), balancer = 0;
    homing_upstream_options upstream;
    homing_affinity_options affinity;
    homing_health_options health;
    memset(&upstream, 0, sizeof upstream);
    memset(&affinity, 0, sizeof affinity);
    memset(&health, 0, sizeof health);
    upstream.size = sizeof upstream;
    upstream.name = upstream.address = bytes("only");
    upstream.name_len = upstream.address_len = 4;
    upstream.max_in_flight = max_in_flight;
    affinity.size = sizeof affinity;
    affinity.on_unavailable = on_unavailable;
    health.size = sizeof health;
    health.hold_ms = hold_ms;
    EXPECT(HOMING_OK, homing_config_new(&config));
    EXPECT(HOMING_OK, homing_config_upstream(config, &upstream));
    EXPECT(HOMING_OK, homing_config_affinity(config, &affinity));
    EXPECT(HOMING_OK, homing_config_health(config, &health));
    EXPECT(HOMING_OK, homing_balancer_new(config, ring, &balancer));
    EXPECT(HOMING_OK, homing_config_free(config));
    EXPECT(HOMING_OK, homing_keyring_free(ring));
    return balancer;
}

static void full(void)
{
    homing_handle balancer = one_upstream(1, HOMING_REPIN, 0);
    homing_request request = request_at(NOW);
    homing_pick_result first, second;
    homing_handle lease = 0;
    EXPECT(HOMING_OK, pick(balancer, &request, &first));
    EXPECT(HOMING_ERR_FULL, pick(balancer, &request, &second));
    EXPECT(HOMING_ERR_FULL, homing_lease(balancer, first.id, 1, HOMING_DECISION_NEW, NOW, &lease));
    finish(balancer, &first, HOMING_OUTCOME_ANSWERED, NOW);
    EXPECT(HOMING_OK, homing_lease(balancer, first.id, 1, HOMING_DECISION_NEW, NOW, &lease));
    EXPECT(HOMING_ERR_FULL, pick(balancer, &request, &second));
    EXPECT(HOMING_OK, homing_finish(balancer, lease, HOMING_OUTCOME_NONE, 0, NOW));
    EXPECT(HOMING_OK, pick(balancer, &request, &second));
    /* The lease outlives the balancer. */
    EXPECT(HOMING_OK, homing_balancer_free(balancer));
    EXPECT(HOMING_OK, homing_finish(balancer, second.lease, HOMING_OUTCOME_ANSWERED, 0, NOW));
}

static void rejected_and_unavailable(void)
{
    homing_handle balancer = one_upstream(0, HOMING_REJECT, 0);
    homing_request request = request_at(NOW);
    homing_pick_result first, second;
    EXPECT(HOMING_OK, pick(balancer, &request, &first));
    finish(balancer, &first, HOMING_OUTCOME_ANSWERED, NOW);
    EXPECT(HOMING_OK, homing_set_health(balancer, first.id, 0, 0));
    EXPECT(HOMING_ERR_UNAVAILABLE, pick(balancer, &request, &second));
    request.token = first.token;
    request.token_len = first.token_len;
    EXPECT(HOMING_ERR_REJECTED, pick(balancer, &request, &second));
    EXPECT(HOMING_OK, homing_set_health(balancer, first.id, 1, 1));
    EXPECT(HOMING_OK, pick(balancer, &request, &second));
    CHECK(second.decision == HOMING_DECISION_PINNED);
    finish(balancer, &second, HOMING_OUTCOME_ANSWERED, NOW);
    EXPECT(HOMING_OK, homing_balancer_free(balancer));
}

/* A session waits for its upstream if the host can wait. */
static void later(void)
{
    homing_handle balancer = one_upstream(0, HOMING_REPIN, 30000);
    homing_request request = request_at(NOW);
    homing_pick_result first, second;
    EXPECT(HOMING_OK, pick(balancer, &request, &first));
    finish(balancer, &first, HOMING_OUTCOME_CONNECT_REFUSED, NOW);
    request.token = first.token;
    request.token_len = first.token_len;
    request.flags = HOMING_REQUEST_CAN_WAIT;
    EXPECT(HOMING_LATER, pick(balancer, &request, &second));
    CHECK(second.retry_at_ms > NOW && second.retry_at_ms <= NOW + 30000 && second.lease == 0);
    request.flags = 0;
    EXPECT(HOMING_ERR_UNAVAILABLE, pick(balancer, &request, &second));
    EXPECT(HOMING_OK, homing_balancer_free(balancer));
}

/* Sessions of a draining upstream have a deadline, and events tell its progress. */
static void drains_and_events(void)
{
    homing_handle balancer = one_upstream(0, HOMING_REPIN, 0), events = 0;
    homing_request request = request_at(NOW);
    homing_pick_result first;
    homing_upstream_status status;
    homing_event event;
    uint8_t text[512];
    size_t len = 0, needed = 0;
    uint64_t at = 0;
    EXPECT(HOMING_OK, homing_events_new(balancer, &events));
    memset(&event, 0, sizeof event);
    event.size = sizeof event;
    EXPECT(HOMING_NOTHING, homing_events_next(events, &event, text, sizeof text, &len));

    EXPECT(HOMING_OK, pick(balancer, &request, &first));
    EXPECT(HOMING_NOTHING, homing_departure(balancer, first.id, first.session, &at));
    EXPECT(HOMING_OK, homing_drain(balancer, first.id, 60000, NOW));
    EXPECT(HOMING_OK, homing_departure(balancer, first.id, first.session, &at));
    CHECK(at >= NOW + 60000 && at <= NOW + 60000 + 30000);

    memset(&status, 0, sizeof status);
    status.size = sizeof status;
    EXPECT(HOMING_OK, homing_status(balancer, 0, NOW, &status, text, sizeof text, &len));
    expect_text("only", text, len);
    CHECK(status.state == HOMING_STATE_DRAINING && !status.accepting && status.serving);
    CHECK(status.in_flight == 1 && status.requests == 1 && status.decided[HOMING_DECISION_NEW] == 1);
    CHECK(status.id == first.id && status.weight == 1 && status.live_sessions == 1);

    EXPECT(HOMING_ERR_BUFFER, homing_events_next(events, &event, text, 3, &needed));
    EXPECT(HOMING_OK, homing_events_next(events, &event, text, sizeof text, &len));
    CHECK(len == needed && event.kind == HOMING_EVENT_CHANGED && event.at_ms == NOW && event.missed == 0);
    CHECK(event.from == HOMING_STATE_ACTIVE && event.to == HOMING_STATE_DRAINING);
    CHECK(event.name_len == 4 && memcmp(text, "only", 4) == 0);
    EXPECT(HOMING_OK, homing_set_incarnation(balancer, first.id, 9, NOW));
    EXPECT(HOMING_OK, homing_set_incarnation(balancer, first.id, 12, NOW));
    do
        EXPECT(HOMING_OK, homing_events_next(events, &event, text, sizeof text, &len));
    while (event.kind != HOMING_EVENT_RESTARTED || event.from == 0);
    CHECK(event.from == 9 && event.to == 12);

    finish(balancer, &first, HOMING_OUTCOME_ANSWERED, NOW);
    EXPECT(HOMING_OK, homing_tick(balancer, NOW + 3600000));
    do
        EXPECT(HOMING_OK, homing_events_next(events, &event, text, sizeof text, &len));
    while (event.kind != HOMING_EVENT_DRAINED);
    EXPECT(HOMING_NOTHING, homing_events_next(events, &event, text, sizeof text, &len));
    EXPECT(HOMING_OK, homing_events_free(events));
    EXPECT(HOMING_OK, homing_balancer_free(balancer));
}

static void texts(void)
{
    homing_handle balancer = example_balancer(0), plan = 0;
    homing_request request = request_at(NOW);
    char text[8192];
    size_t len = 0;
    EXPECT(HOMING_OK, homing_explain(balancer, &request, (uint8_t *)text, sizeof text - 1, &len));
    text[len] = 0;
    CHECK(strstr(text, "least_sessions") != NULL);
    EXPECT(HOMING_OK, homing_status_json(balancer, NOW, (uint8_t *)text, sizeof text - 1, &len));
    text[len] = 0;
    CHECK(text[0] == '{' && text[len - 1] == '}' && strstr(text, "\"app-2\"") != NULL);
    EXPECT(HOMING_OK, homing_plan_new(balancer, &plan));
    EXPECT(HOMING_OK, homing_plan_remove(plan, bytes("app-2"), 5));
    EXPECT(HOMING_OK, homing_plan_explain(plan, NOW, (uint8_t *)text, sizeof text - 1, &len));
    text[len] = 0;
    CHECK(strstr(text, "app-2") != NULL);
    EXPECT(HOMING_OK, homing_plan_free(plan));
    EXPECT(HOMING_OK, homing_balancer_free(balancer));
}

/* A TOML text configures everything, and its errors are reported with their line. */
static void toml(void)
{
    static const char good[] = "[affinity]\ncookie = \"sid\"\n[policy]\nname = \"ip_hash\"\n"
                               "[[upstream]]\nname = \"a\"\naddress = \"10.0.0.1:80\"\n";
    static const char bad[] = "[affinity]\ncokie = \"sid\"\n";
    homing_handle config = 0, ring = generated(), balancer = 0;
    homing_request request = request_at(NOW);
    homing_pick_result picked = no_pick();
    uint8_t text[1024], cookie[1024];
    size_t len = 0;
    EXPECT(HOMING_OK, homing_config_parse(bytes(good), sizeof good - 1, &config));
    EXPECT(HOMING_OK, homing_balancer_new(config, ring, &balancer));
    EXPECT(HOMING_OK, homing_pick(balancer, &request, &picked, NULL, 0, NULL, cookie, sizeof cookie, &len));
    CHECK(memcmp(cookie, "sid=", 4) == 0);
    finish(balancer, &picked, HOMING_OUTCOME_ANSWERED, NOW);
    EXPECT(HOMING_OK, homing_balancer_free(balancer));
    EXPECT(HOMING_OK, homing_config_free(config));
    EXPECT(HOMING_OK, homing_keyring_free(ring));
    EXPECT(HOMING_ERR_CONFIG, homing_config_parse(bytes(bad), sizeof bad - 1, &config));
    EXPECT(HOMING_OK, homing_last_error(text, sizeof text - 1, &len));
    text[len] = 0;
    CHECK(strstr((const char *)text, ":2:") != NULL && strstr((const char *)text, "cokie") != NULL);
}

struct lines {
    int infos, warnings;
};

static void count(int32_t level, const uint8_t *text, size_t text_len, void *user)
{
    struct lines *lines = (struct lines *)user;
    CHECK(text_len > 0 && text[0] != 0);
    lines->infos += level == HOMING_LOG_INFO;
    lines->warnings += level == HOMING_LOG_WARN;
}

/* A key file is created readable by its owner only; one that others can read causes a warning. */
static void key_files_and_logs(const char *path)
{
    homing_handle ring = 0, balancer;
    struct lines lines = {0, 0};
    struct stat file;
    EXPECT(HOMING_OK, homing_set_log(count, &lines));
    EXPECT(HOMING_OK, homing_keyring_load(bytes(path), strlen(path), &ring));
    CHECK(stat(path, &file) == 0 && (file.st_mode & 0777) == 0600);
    CHECK(lines.warnings == 0);
    balancer = example_balancer(ring);
    EXPECT(HOMING_OK, homing_keyring_free(ring));
    CHECK(chmod(path, 0644) == 0);
    EXPECT(HOMING_OK, homing_keyring_load(bytes(path), strlen(path), &ring));
    CHECK(lines.warnings == 1);
    lines.infos = 0;
    EXPECT(HOMING_OK, homing_balancer_set_keys(balancer, ring));
    CHECK(lines.infos == 1);
    EXPECT(HOMING_OK, homing_set_log(NULL, NULL));
    EXPECT(HOMING_OK, homing_balancer_set_keys(balancer, ring));
    CHECK(lines.infos == 1);
    EXPECT(HOMING_OK, homing_balancer_free(balancer));
    EXPECT(HOMING_OK, homing_keyring_free(ring));
    CHECK(unlink(path) == 0);
    EXPECT(HOMING_ERR_KEYS, homing_keyring_load(bytes("/nowhere/keys"), 13, &ring));
}

/* The number of handles is limited; reaching the limit frees none, and after freeing some there are new ones. */
static void too_many(void)
{
    static homing_handle configs[1 << 16];
    size_t made = 0, i;
    int32_t status = HOMING_OK;
    while (made < sizeof configs / sizeof configs[0] && status == HOMING_OK) {
        status = homing_config_new(&configs[made]);
        made += status == HOMING_OK;
    }
    EXPECT(HOMING_ERR_LIMIT, status);
    EXPECT(HOMING_OK, homing_config_free(configs[0]));
    EXPECT(HOMING_OK, homing_config_new(&configs[0]));
    for (i = 0; i < made; i++)
        EXPECT(HOMING_OK, homing_config_free(configs[i]));
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    version_and_names();
    last_errors();
    cookies();
    rotation();
    tried_and_eligible();
    full();
    rejected_and_unavailable();
    later();
    drains_and_events();
    texts();
    toml();
    key_files_and_logs(argv[1]);
    too_many();
    return 0;
}
