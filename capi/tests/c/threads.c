/* Eight threads pick while another one changes the membership, and creates and frees balancers: only calls with freed
 * handles fail, sessions stay if their upstream does, and no lease remains.
 *
 * threads ROUNDS    how many picks each thread makes
 */
#include "world.h"

#include <pthread.h>

#define THREADS 8

static struct {
    pthread_mutex_t lock;
    homing_handle balancer;
    int busy; /* threads that still pick */
} shared = {PTHREAD_MUTEX_INITIALIZER, 0, THREADS};

/* The current balancer, which another thread may free at any time. */
static homing_handle current(int *busy)
{
    homing_handle balancer;
    CHECK(pthread_mutex_lock(&shared.lock) == 0);
    balancer = shared.balancer;
    if (busy)
        *busy = shared.busy;
    CHECK(pthread_mutex_unlock(&shared.lock) == 0);
    return balancer;
}

static homing_handle publish(homing_handle balancer)
{
    homing_handle before;
    CHECK(pthread_mutex_lock(&shared.lock) == 0);
    before = shared.balancer;
    shared.balancer = balancer;
    CHECK(pthread_mutex_unlock(&shared.lock) == 0);
    return before;
}

struct visitor {
    pthread_t thread;
    int rounds;
    int pinned, moved, met_freed;
};

/* One client with repeated requests. */
static void *visit(void *argument)
{
    struct visitor *visitor = (struct visitor *)argument;
    uint8_t token[HOMING_TOKEN_LEN], name[HOMING_NAME_MAX], pinned[HOMING_NAME_MAX], text[4096];
    size_t len = 0, pinned_len = 0, text_len = 0;
    homing_request request;
    int i;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    for (i = 0; i < visitor->rounds; i++) {
        homing_handle balancer = current(NULL);
        homing_pick_result pick;
        int32_t status;
        memset(&pick, 0, sizeof pick);
        pick.size = sizeof pick;
        status = homing_pick(balancer, &request, &pick, name, sizeof name, &len, NULL, 0, NULL);
        if (status == HOMING_ERR_HANDLE) {
            visitor->met_freed++;
            continue;
        }
        EXPECT(HOMING_OK, status);
        if (pick.decision == HOMING_DECISION_PINNED) {
            CHECK(len == pinned_len && memcmp(name, pinned, len) == 0);
            visitor->pinned++;
        } else {
            /* app-5 is added and removed; the others stay, with their sessions. */
            CHECK(request.token_len == 0 || (pinned_len == 5 && memcmp(pinned, "app-5", 5) == 0));
            CHECK(pick.decision == (request.token_len ? HOMING_DECISION_NO_SUCH_UPSTREAM : HOMING_DECISION_NEW));
            CHECK(pick.token_len == HOMING_TOKEN_LEN);
            visitor->moved++;
        }
        if (pick.token_len) {
            memcpy(token, pick.token, sizeof token);
            memcpy(pinned, name, len);
            pinned_len = len;
        }
        /* Half of them begin a new session each time; a lease may outlive its balancer. */
        request.token = token;
        request.token_len = i % 2 ? sizeof token : 0;
        EXPECT(HOMING_OK, homing_finish(balancer, pick.lease, HOMING_OUTCOME_ANSWERED, 100, 0));
        EXPECT(HOMING_ERR_HANDLE, homing_finish(balancer, pick.lease, HOMING_OUTCOME_ANSWERED, 100, 0));
        if (i % 64 == 0) {
            status = homing_explain(balancer, &request, text, sizeof text, &text_len);
            CHECK(status == HOMING_OK || status == HOMING_ERR_HANDLE);
        }
    }
    CHECK(pthread_mutex_lock(&shared.lock) == 0);
    shared.busy--;
    CHECK(pthread_mutex_unlock(&shared.lock) == 0);
    return NULL;
}

static homing_upstream_options upstream(const char *name)
{
    homing_upstream_options upstream;
    memset(&upstream, 0, sizeof upstream);
    upstream.size = sizeof upstream;
    upstream.name = bytes(name);
    upstream.name_len = strlen(name);
    upstream.address = upstream.name;
    upstream.address_len = upstream.name_len;
    return upstream;
}

static homing_handle four_upstreams(homing_handle ring)
{
    static const char *const names[] = {"app-1", "app-2", "app-3", "app-4"};
    homing_handle config = 0, balancer = 0;
    size_t i;
    EXPECT(HOMING_OK, homing_config_new(&config));
    for (i = 0; i < 4; i++) {
        homing_upstream_options options = upstream(names[i]);
        EXPECT(HOMING_OK, homing_config_upstream(config, &options));
    }
    EXPECT(HOMING_OK, homing_balancer_new(config, ring, &balancer));
    EXPECT(HOMING_OK, homing_config_free(config));
    return balancer;
}

static void change(homing_handle balancer, int grows)
{
    homing_upstream_options fifth = upstream("app-5");
    homing_handle plan = 0;
    uint64_t generation = 0;
    EXPECT(HOMING_OK, homing_plan_new(balancer, &plan));
    if (grows)
        EXPECT(HOMING_OK, homing_plan_put(plan, &fifth));
    else
        EXPECT(HOMING_OK, homing_plan_remove(plan, fifth.name, fifth.name_len));
    EXPECT(HOMING_OK, homing_plan_apply(plan, &generation));
    EXPECT(HOMING_OK, homing_plan_free(plan));
}

static uint32_t in_flight(homing_handle balancer)
{
    size_t count = 0, i;
    uint64_t generation = 0;
    uint32_t sum = 0;
    EXPECT(HOMING_OK, homing_balancer_upstreams(balancer, &count, &generation));
    for (i = 0; i < count; i++) {
        homing_upstream_status status;
        memset(&status, 0, sizeof status);
        status.size = sizeof status;
        EXPECT(HOMING_OK, homing_status(balancer, (uint32_t)i, 0, &status, NULL, 0, NULL));
        sum += status.in_flight;
    }
    return sum;
}

static void pick_while_all_changes(int rounds)
{
    struct visitor visitors[THREADS];
    homing_handle ring = 0;
    int i, busy = 1, changes = 0, pinned = 0, moved = 0, met_freed = 0;
    EXPECT(HOMING_OK, homing_keyring_generate(bytes("shop"), 4, &ring));
    publish(four_upstreams(ring));
    memset(visitors, 0, sizeof visitors);
    for (i = 0; i < THREADS; i++) {
        visitors[i].rounds = rounds;
        CHECK(pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]) == 0);
    }
    for (; busy; changes++) {
        homing_handle balancer = current(&busy);
        change(balancer, 1);
        change(balancer, 0);
        EXPECT(HOMING_OK, homing_tick(balancer, 0));
        /* Freed while other threads pick from it. */
        EXPECT(HOMING_OK, homing_balancer_free(publish(four_upstreams(ring))));
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(visitors[i].thread, NULL) == 0);
        pinned += visitors[i].pinned;
        moved += visitors[i].moved;
        met_freed += visitors[i].met_freed;
    }
    CHECK(pinned > 0 && moved > 0);
    CHECK(in_flight(current(NULL)) == 0);
    EXPECT(HOMING_OK, homing_balancer_free(publish(0)));
    EXPECT(HOMING_OK, homing_keyring_free(ring));
    printf("%d pinned, %d placed, %d met a freed balancer; %d changes\n", pinned, moved, met_freed, changes);
}

#define HANDLES 1000

static struct {
    homing_handle balancer;
    homing_handle configs[HANDLES], leases[HANDLES];
    pthread_mutex_t lock;
    int freed, finished;
} contested = {0, {0}, {0}, PTHREAD_MUTEX_INITIALIZER, 0, 0};

static void *free_all(void *argument)
{
    int i, freed = 0, finished = 0;
    (void)argument;
    for (i = 0; i < HANDLES; i++) {
        int32_t of_config = homing_config_free(contested.configs[i]);
        int32_t of_lease = homing_finish(contested.balancer, contested.leases[i], HOMING_OUTCOME_NONE, 0, NOW);
        CHECK(of_config == HOMING_OK || of_config == HOMING_ERR_HANDLE);
        CHECK(of_lease == HOMING_OK || of_lease == HOMING_ERR_HANDLE);
        freed += of_config == HOMING_OK;
        finished += of_lease == HOMING_OK;
    }
    CHECK(pthread_mutex_lock(&contested.lock) == 0);
    contested.freed += freed;
    contested.finished += finished;
    CHECK(pthread_mutex_unlock(&contested.lock) == 0);
    return NULL;
}

/* All threads free the same handles: each is freed once. */
static void free_at_once(void)
{
    pthread_t threads[THREADS];
    uint64_t id = 0;
    uint32_t index = 0;
    int i;
    contested.balancer = example_balancer(0);
    EXPECT(HOMING_OK, homing_find(contested.balancer, bytes("app-1"), 5, &id, &index));
    for (i = 0; i < HANDLES; i++) {
        EXPECT(HOMING_OK, homing_config_new(&contested.configs[i]));
        EXPECT(HOMING_OK,
               homing_lease(contested.balancer, id, 1, HOMING_DECISION_NEW, NOW, &contested.leases[i]));
    }
    CHECK(in_flight(contested.balancer) == HANDLES);
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, free_all, NULL) == 0);
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(contested.freed == HANDLES && contested.finished == HANDLES);
    CHECK(in_flight(contested.balancer) == 0);
    EXPECT(HOMING_OK, homing_balancer_free(contested.balancer));
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    pick_while_all_changes(atoi(argv[1]));
    free_at_once();
    return 0;
}
