/* One object of each kind that a call can be given, and a stale handle of each. */
#ifndef WORLD_H
#define WORLD_H

#include "check.h"

enum type { RING, PARTS, CONFIG, BALANCER, LEASE, PLAN, EVENTS, TYPES };

struct world {
    homing_handle live[TYPES];
    homing_handle stale[TYPES];
    uint64_t generation;
    uint64_t id;       /* of the upstream with index 0, app-1 */
    uint64_t other_id; /* of app-2 */
    uint8_t token[HOMING_TOKEN_LEN];
    char cookie[128]; /* a Cookie header that holds it */
};

void world_new(struct world *world);
void world_free(struct world *world);

/* Two upstreams, the policy least_sessions. */
homing_handle example_config(void);
homing_handle example_balancer(homing_handle ring);

/* The status of a balancer at NOW. The caller frees it. */
char *status_json(homing_handle balancer);

#endif
