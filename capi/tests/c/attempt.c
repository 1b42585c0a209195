#include "attempt.h"

#include <unistd.h>

#define PATTERN 0xA5

void fail(const struct attempt *attempt, const char *what, const char *why)
{
    uint8_t text[1024];
    size_t len = 0;
    if (homing_last_error(text, sizeof text, &len) != HOMING_OK)
        len = 0;
    fprintf(stderr, "%s, %s: %s; last error: %.*s\n", attempt->function->name, what, why, (int)len, (const char *)text);
    exit(1);
}

void *place(struct attempt *attempt, size_t size, int is_length)
{
    struct place *place = &attempt->places[attempt->places_len++];
    CHECK(attempt->places_len <= PLACES);
    place->memory = allocate(size);
    place->before = allocate(size);
    place->size = size;
    place->is_length = is_length;
    memset(place->memory, PATTERN, size);
    return place->memory;
}

static void *options(struct attempt *attempt, const struct record *record)
{
    void *options = attempt->options[attempt->options_len++] = allocate(record->size);
    record->fill(attempt->world, options);
    return options;
}

static void argument(struct attempt *attempt, const struct param *param)
{
    struct arg *arg = &attempt->args[param->at];
    switch (param->kind) {
    case NONE:
        break;
    case NUMBER:
    case ONE_OF:
        arg->u = param->number;
        break;
    case ID:
        arg->u = attempt->world->id;
        break;
    case HANDLE:
    case HANDLE_OR_0:
    case HANDLE_OR_FREED:
        arg->u = attempt->world->live[param->type];
        break;
    case BYTES:
    case UTF8:
        arg[0].p = (void *)param->bytes;
        arg[1].n = strlen(param->bytes);
        break;
    case PLACE:
    case NEW:
        arg->p = place(attempt, param->limit, 0);
        break;
    case OPTIONS:
        arg->p = options(attempt, param->record);
        break;
    case RESULT:
        arg->p = place(attempt, param->record->size, 0);
        memcpy(arg->p, &param->record->size, sizeof(size_t));
        break;
    case TEXT:
    case OPTIONAL_TEXT:
        break;
    }
}

void attempt_new(struct attempt *attempt, const struct function *function, struct world *world)
{
    size_t i;
    memset(attempt, 0, sizeof *attempt);
    attempt->function = function;
    attempt->world = world;
    for (i = 0; i < PARAMETERS; i++)
        argument(attempt, &function->params[i]);
    /* Texts come last: their length depends on the other arguments. */
    for (i = 0; i < PARAMETERS; i++) {
        const struct param *param = &function->params[i];
        if (param->kind == TEXT || param->kind == OPTIONAL_TEXT) {
            size_t needed = text_needed(attempt, param);
            attempt->args[param->at].p = needed ? place(attempt, needed, 0) : NULL;
            attempt->args[param->at + 1].n = needed;
            attempt->args[param->at + 2].p = place(attempt, sizeof(size_t), 1);
        }
    }
}

void attempt_free(struct attempt *attempt)
{
    size_t i;
    for (i = 0; i < attempt->places_len; i++) {
        free(attempt->places[i].memory);
        free(attempt->places[i].before);
    }
    for (i = 0; i < attempt->options_len; i++)
        free(attempt->options[i]);
}

size_t text_needed(struct attempt *attempt, const struct param *param)
{
    struct arg saved[3], *arg = &attempt->args[param->at];
    size_t needed = 0;
    int32_t status;
    memcpy(saved, arg, sizeof saved);
    arg[0].p = NULL;
    arg[1].n = 0;
    arg[2].p = &needed;
    status = attempt->function->call(attempt->args);
    memcpy(arg, saved, sizeof saved);
    if (status != (needed ? HOMING_ERR_BUFFER : HOMING_OK))
        fail(attempt, "asked how much it takes", "it does not say");
    return needed;
}

void attempt_call(struct attempt *attempt, int32_t status, const char *what)
{
    char why[64];
    int32_t got;
#ifdef HOMING_PLANT_PANIC
    if (attempt->plants)
        CHECK(homing_plant_panic() == HOMING_OK);
#endif
    got = attempt->function->call(attempt->args);
    snprintf(why, sizeof why, "%d is returned, not %d", got, status);
    if (got != status)
        fail(attempt, what, why);
}

void attempt_refused(struct attempt *attempt, int32_t status, const char *what)
{
    char *before = status_json(attempt->world->live[BALANCER]), *after;
    size_t i;
    for (i = 0; i < attempt->places_len; i++)
        memcpy(attempt->places[i].before, attempt->places[i].memory, attempt->places[i].size);
    attempt_call(attempt, status, what);
    for (i = 0; i < attempt->places_len; i++) {
        const struct place *place = &attempt->places[i];
        int may_change = place->is_length && status == HOMING_ERR_BUFFER;
        if (!may_change && memcmp(place->before, place->memory, place->size) != 0)
            fail(attempt, what, "it failed, and wrote something all the same");
    }
    after = status_json(attempt->world->live[BALANCER]);
    if (strcmp(before, after) != 0)
        fail(attempt, what, "it failed, and the balancer is not as before");
    free(before);
    free(after);
}

static void end(struct world *world, enum type type, homing_handle handle)
{
    switch (type) {
    case RING:
    case PARTS:
        EXPECT(HOMING_OK, homing_keyring_free(handle));
        break;
    case CONFIG:
        EXPECT(HOMING_OK, homing_config_free(handle));
        break;
    case BALANCER:
        EXPECT(HOMING_OK, homing_balancer_free(handle));
        break;
    case LEASE:
        EXPECT(HOMING_OK, homing_finish(world->live[BALANCER], handle, HOMING_OUTCOME_NONE, 0, NOW));
        break;
    case PLAN:
        EXPECT(HOMING_OK, homing_plan_free(handle));
        break;
    case EVENTS:
        EXPECT(HOMING_OK, homing_events_free(handle));
        break;
    case TYPES:
        break;
    }
}

void attempt_settle(struct attempt *attempt)
{
    size_t i;
    for (i = 0; i < PARAMETERS; i++) {
        const struct param *param = &attempt->function->params[i];
        void *made = attempt->args[param->at].p;
        if (param->kind == NEW)
            end(attempt->world, param->type, *(homing_handle *)made);
        if (param->kind == RESULT && param->record->release)
            param->record->release(attempt->world, made);
    }
    unlink(key_path);
}

void attempt_works(struct attempt *attempt, const char *what)
{
    const struct function *function = attempt->function;
    size_t i;
    int32_t got = function->call(attempt->args);
    if (got < HOMING_OK)
        fail(attempt, what, "it does not work");
    for (i = 0; i < PARAMETERS; i++) {
        const struct param *param = &function->params[i];
        const struct arg *arg = &attempt->args[param->at];
        if (param->kind == TEXT && *(size_t *)arg[2].p != arg[1].n)
            fail(attempt, what, "the text is not as long as was said");
    }
    attempt_settle(attempt);
    if (function->ends != TYPES) {
        attempt_call(attempt, HOMING_ERR_HANDLE, "ended twice");
        attempt->world->live[function->ends] = 0;
    }
}
