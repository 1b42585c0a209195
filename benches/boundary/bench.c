/* The cost of a request in C, from pick to finish; main.rs measures the same in Rust. Prints a kind and its nanoseconds on
 * each line. */
#include <homing.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UPSTREAMS 10
#define CLIENTS 4096 /* a power of two; more than caches and branch predictors remember */
#define BATCHES 100  /* one pick for each client: short, so that the fastest batch was not interrupted */
#define NOW UINT64_C(1700000000000)

static void check(int32_t status)
{
    if (status != HOMING_OK) {
        fprintf(stderr, "status %d\n", (int)status);
        exit(1);
    }
}

static homing_handle balancer(void)
{
    homing_handle config = 0, ring = 0, balancer = 0;
    char name[32], address[32];
    int i;
    check(homing_keyring_generate((const uint8_t *)"bench", 5, &ring));
    check(homing_config_new(&config));
    for (i = 0; i < UPSTREAMS; i++) {
        homing_upstream_options upstream;
        memset(&upstream, 0, sizeof upstream);
        upstream.size = sizeof upstream;
        upstream.name = (const uint8_t *)name;
        upstream.name_len = (size_t)sprintf(name, "app-%d", i);
        upstream.address = (const uint8_t *)address;
        upstream.address_len = (size_t)sprintf(address, "10.0.0.%d:8080", i);
        check(homing_config_upstream(config, &upstream));
    }
    check(homing_config_policy(config, (const uint8_t *)"p2c", 3));
    check(homing_balancer_new(config, ring, &balancer));
    check(homing_config_free(config));
    check(homing_keyring_free(ring));
    return balancer;
}

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static char cookies[CLIENTS][160];

int main(void)
{
    static const char *const names[] = {"new", "pinned"};
    homing_handle all = balancer();
    homing_request request;
    homing_pick_result pick;
    uint8_t name[HOMING_NAME_MAX], set_cookie[512];
    size_t name_len = 0, set_cookie_len = 0;
    int i, kind, batch;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.now_ms = NOW;
    memset(&pick, 0, sizeof pick);
    pick.size = sizeof pick;
    for (i = 0; i < CLIENTS; i++) {
        check(homing_pick(all, &request, &pick, NULL, 0, NULL, NULL, 0, NULL));
        sprintf(cookies[i], "theme=dark; ASP.NET_SessionId=wq4h1zv0lm2yq0cn3x5tjb5e; homing=%.*s; lang=en",
                (int)pick.token_len, (const char *)pick.token);
        check(homing_finish(all, pick.lease, HOMING_OUTCOME_ANSWERED, 1000, NOW));
    }
    for (kind = 0; kind < 2; kind++) {
        int32_t expected = kind ? HOMING_DECISION_PINNED : HOMING_DECISION_NEW;
        double least = 1e18;
        for (batch = 0; batch < BATCHES; batch++) {
            double began = now_ns(), took;
            for (i = 0; i < CLIENTS; i++) {
                if (kind) {
                    request.cookie = (const uint8_t *)cookies[i];
                    request.cookie_len = strlen(cookies[i]);
                }
                check(homing_pick(all, &request, &pick, name, sizeof name, &name_len, set_cookie, sizeof set_cookie,
                                  &set_cookie_len));
                if (pick.decision != expected)
                    exit(2);
                check(homing_finish(all, pick.lease, HOMING_OUTCOME_ANSWERED, 1000, NOW));
            }
            took = now_ns() - began;
            least = took < least ? took : least;
        }
        printf("%s %.1f\n", names[kind], least / CLIENTS);
    }
    check(homing_balancer_free(all));
    return 0;
}
