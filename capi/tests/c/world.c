#include "world.h"

static homing_handle generated(void)
{
    homing_handle ring = 0;
    EXPECT(HOMING_OK, homing_keyring_generate(bytes("shop"), 4, &ring));
    return ring;
}

static homing_handle in_parts(void)
{
    homing_handle ring = 0;
    const uint8_t *secret = bytes("0123456789abcdef0123456789abcdef");
    EXPECT(HOMING_OK, homing_keyring_new(bytes("shop"), 4, secret, 32, &ring));
    return ring;
}

homing_handle example_config(void)
{
    homing_handle config = 0;
    homing_upstream_options upstream;
    memset(&upstream, 0, sizeof upstream);
    upstream.size = sizeof upstream;
    EXPECT(HOMING_OK, homing_config_new(&config));
    upstream.name = bytes("app-1");
    upstream.name_len = 5;
    upstream.address = bytes("10.0.0.1:80");
    upstream.address_len = 11;
    EXPECT(HOMING_OK, homing_config_upstream(config, &upstream));
    upstream.name = bytes("app-2");
    upstream.address = bytes("10.0.0.2:80");
    EXPECT(HOMING_OK, homing_config_upstream(config, &upstream));
    EXPECT(HOMING_OK, homing_config_policy(config, bytes("least_sessions"), 14));
    return config;
}

homing_handle example_balancer(homing_handle ring)
{
    homing_handle config = example_config(), balancer = 0;
    EXPECT(HOMING_OK, homing_balancer_new(config, ring, &balancer));
    EXPECT(HOMING_OK, homing_config_free(config));
    return balancer;
}

static homing_handle lease_of(homing_handle balancer, uint64_t id)
{
    homing_handle lease = 0;
    EXPECT(HOMING_OK, homing_lease(balancer, id, 7, HOMING_DECISION_NEW, NOW, &lease));
    return lease;
}

static homing_handle plan_of(homing_handle balancer)
{
    homing_handle plan = 0;
    EXPECT(HOMING_OK, homing_plan_new(balancer, &plan));
    EXPECT(HOMING_OK, homing_plan_remove(plan, bytes("app-2"), 5));
    return plan;
}

static homing_handle events_of(homing_handle balancer)
{
    homing_handle events = 0;
    EXPECT(HOMING_OK, homing_events_new(balancer, &events));
    return events;
}

/* A request for which only app-1 is eligible. */
static void first_visit(struct world *world)
{
    const uint8_t first[1] = {1};
    homing_request request;
    homing_pick_result result;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.now_ms = NOW;
    request.generation = world->generation;
    request.eligible = first;
    request.eligible_len = 1;
    memset(&result, 0, sizeof result);
    result.size = sizeof result;
    EXPECT(HOMING_OK, homing_pick(world->live[BALANCER], &request, &result, NULL, 0, NULL, NULL, 0, NULL));
    CHECK(result.token_len == HOMING_TOKEN_LEN);
    memcpy(world->token, result.token, HOMING_TOKEN_LEN);
    snprintf(world->cookie, sizeof world->cookie, "theme=dark; homing=%.*s", HOMING_TOKEN_LEN,
             (const char *)result.token);
    EXPECT(HOMING_OK, homing_finish(world->live[BALANCER], result.lease, HOMING_OUTCOME_ANSWERED, 1000, NOW));
}

void world_new(struct world *world)
{
    homing_handle other;
    uint32_t index = 7;
    size_t count = 0;
    memset(world, 0, sizeof *world);
    world->live[RING] = generated();
    world->live[PARTS] = in_parts();
    world->live[CONFIG] = example_config();
    world->live[BALANCER] = example_balancer(world->live[RING]);
    EXPECT(HOMING_OK, homing_find(world->live[BALANCER], bytes("app-1"), 5, &world->id, &index));
    CHECK(index == 0);
    EXPECT(HOMING_OK, homing_find(world->live[BALANCER], bytes("app-2"), 5, &world->other_id, &index));
    CHECK(index == 1);
    EXPECT(HOMING_OK, homing_balancer_upstreams(world->live[BALANCER], &count, &world->generation));
    CHECK(count == 2);
    first_visit(world);
    world->live[LEASE] = lease_of(world->live[BALANCER], world->id);
    world->live[PLAN] = plan_of(world->live[BALANCER]);
    world->live[EVENTS] = events_of(world->live[BALANCER]);

    other = world->stale[BALANCER] = example_balancer(0);
    world->stale[RING] = generated();
    world->stale[PARTS] = in_parts();
    world->stale[CONFIG] = example_config();
    world->stale[LEASE] = lease_of(world->live[BALANCER], world->id);
    world->stale[PLAN] = plan_of(other);
    world->stale[EVENTS] = events_of(other);
    EXPECT(HOMING_OK, homing_keyring_free(world->stale[RING]));
    EXPECT(HOMING_OK, homing_keyring_free(world->stale[PARTS]));
    EXPECT(HOMING_OK, homing_config_free(world->stale[CONFIG]));
    EXPECT(HOMING_OK, homing_finish(0, world->stale[LEASE], HOMING_OUTCOME_NONE, 0, NOW));
    EXPECT(HOMING_OK, homing_plan_free(world->stale[PLAN]));
    EXPECT(HOMING_OK, homing_events_free(world->stale[EVENTS]));
    EXPECT(HOMING_OK, homing_balancer_free(other));
    /* Creates a last error. */
    EXPECT(HOMING_ERR_HANDLE, homing_balancer_free(other));

    /* Queues an event. */
    EXPECT(HOMING_OK, homing_drain(world->live[BALANCER], world->id, UINT64_MAX, NOW));
    EXPECT(HOMING_OK, homing_resume(world->live[BALANCER], world->id, NOW));
}

/* Handles that the calls under test have freed are 0. */
void world_free(struct world *world)
{
    if (world->live[LEASE])
        EXPECT(HOMING_OK, homing_finish(world->live[BALANCER], world->live[LEASE], HOMING_OUTCOME_NONE, 0, NOW));
    EXPECT(HOMING_OK, homing_events_free(world->live[EVENTS]));
    EXPECT(HOMING_OK, homing_plan_free(world->live[PLAN]));
    EXPECT(HOMING_OK, homing_balancer_free(world->live[BALANCER]));
    EXPECT(HOMING_OK, homing_config_free(world->live[CONFIG]));
    EXPECT(HOMING_OK, homing_keyring_free(world->live[PARTS]));
    EXPECT(HOMING_OK, homing_keyring_free(world->live[RING]));
}

char *status_json(homing_handle balancer)
{
    /* Large enough for two upstreams, so that the call does not change the last error. */
    size_t len = 16384;
    char *json = (char *)allocate(len);
    EXPECT(HOMING_OK, homing_status_json(balancer, NOW, (uint8_t *)json, len - 1, &len));
    json[len] = 0;
    return json;
}
