/* A parent builds a balancer and its children pick from it: no two of their sessions have the same id.
 *
 * fork SESSIONS    how many sessions each child begins
 */
#include "world.h"

#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 2

struct session {
    uint64_t number;
    uint8_t token[HOMING_TOKEN_LEN];
};

static homing_request request_of(const uint8_t *token)
{
    homing_request request;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.now_ms = NOW;
    request.token = token;
    request.token_len = token ? HOMING_TOKEN_LEN : 0;
    return request;
}

/* A child begins sessions and writes their ids to a pipe. */
static void begin(homing_handle balancer, int sessions, FILE *out)
{
    homing_request request = request_of(NULL);
    int i;
    for (i = 0; i < sessions; i++) {
        struct session session;
        homing_pick_result pick;
        memset(&pick, 0, sizeof pick);
        pick.size = sizeof pick;
        EXPECT(HOMING_OK, homing_pick(balancer, &request, &pick, NULL, 0, NULL, NULL, 0, NULL));
        CHECK(pick.decision == HOMING_DECISION_NEW && pick.token_len == HOMING_TOKEN_LEN);
        session.number = pick.session;
        memcpy(session.token, pick.token, sizeof session.token);
        CHECK(fwrite(&session, sizeof session, 1, out) == 1);
        EXPECT(HOMING_OK, homing_finish(balancer, pick.lease, HOMING_OUTCOME_ANSWERED, 0, NOW));
    }
}

static int by_number(const void *a, const void *b)
{
    uint64_t one = ((const struct session *)a)->number, other = ((const struct session *)b)->number;
    return (one > other) - (one < other);
}

/* How many sessions of the children have the id of another one; in a child, -1. */
static int shared_numbers(homing_handle balancer, int sessions)
{
    struct session *all = (struct session *)allocate((size_t)(CHILDREN * sessions) * sizeof *all);
    int child, i, shared = 0;
    pid_t pids[CHILDREN];
    FILE *ends[CHILDREN];
    for (child = 0; child < CHILDREN; child++) {
        int ways[2];
        CHECK(pipe(ways) == 0);
        pids[child] = fork();
        CHECK(pids[child] >= 0);
        if (pids[child] == 0) {
            FILE *out = fdopen(ways[1], "w");
            CHECK(out != NULL && close(ways[0]) == 0);
            begin(balancer, sessions, out);
            CHECK(fclose(out) == 0);
            free(all);
            return -1;
        }
        CHECK(close(ways[1]) == 0);
        ends[child] = fdopen(ways[0], "r");
        CHECK(ends[child] != NULL);
    }
    for (child = 0; child < CHILDREN; child++) {
        int status = 0;
        CHECK(fread(&all[child * sessions], sizeof *all, (size_t)sessions, ends[child]) == (size_t)sessions);
        CHECK(fclose(ends[child]) == 0);
        CHECK(waitpid(pids[child], &status, 0) == pids[child] && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    /* The parent and both children have one pool. */
    for (i = 0; i < CHILDREN * sessions; i += 97) {
        homing_request request = request_of(all[i].token);
        homing_open_result opened;
        memset(&opened, 0, sizeof opened);
        opened.size = sizeof opened;
        EXPECT(HOMING_OK, homing_open(balancer, &request, &opened));
        CHECK(opened.decision == HOMING_DECISION_PINNED && opened.session == all[i].number);
    }
    qsort(all, (size_t)(CHILDREN * sessions), sizeof *all, by_number);
    for (i = 1; i < CHILDREN * sessions; i++)
        shared += all[i - 1].number == all[i].number;
    free(all);
    return shared;
}

/* How many of the sessions of two children of a parent with this configuration are shared. Ends the children. */
static int shared_with(homing_handle config, int sessions)
{
    homing_handle ring = 0, balancer = 0;
    int shared;
    EXPECT(HOMING_OK, homing_keyring_generate(bytes("shop"), 4, &ring));
    EXPECT(HOMING_OK, homing_balancer_new(config, ring, &balancer));
    shared = shared_numbers(balancer, sessions);
    EXPECT(HOMING_OK, homing_balancer_free(balancer));
    EXPECT(HOMING_OK, homing_keyring_free(ring));
    if (shared < 0) {
        EXPECT(HOMING_OK, homing_config_free(config));
        exit(0);
    }
    return shared;
}

int main(int argc, char **argv)
{
    homing_handle config = example_config();
    int sessions;
    CHECK(argc == 2);
    sessions = atoi(argv[1]);
    CHECK(shared_with(config, sessions) == 0);

    /* The control: with a seed, both children get the same ids. */
    EXPECT(HOMING_OK, homing_config_seed(config, 7));
    CHECK(shared_with(config, sessions) == sessions);
    EXPECT(HOMING_OK, homing_config_free(config));
    return 0;
}
