/* Every function, with everything that can be wrong with each of its parameters: it returns the right error, has no
 * effect, writes nothing, and works when it is called correctly.
 *
 * matrix names        the functions that it covers
 * matrix misuse FILE  FILE is the path of a key file that does not exist yet
 * matrix panic FILE   the same, with a library of the feature plant-panic: each function panics once
 */
#include "attempt.h"

/* One way in which an argument can be wrong. They are numbered; not all apply to every parameter. */
enum made { NO_MORE, SKIPPED, WRONG_ONE };

struct way {
    size_t number;
    int32_t status;
    char what[128];
    void *memory; /* allocated for it */
};

static enum made wrong_with(struct way *way, int32_t status, const char *what)
{
    way->status = status;
    snprintf(way->what, sizeof way->what, "%s", what);
    return WRONG_ONE;
}

/* Bytes, or numbers, at *data; their length is *len. */
static enum made wrong_bytes(struct way *way, size_t at, enum kind kind, size_t limit, const void **data, size_t *len)
{
    static const char not_utf8[] = "\xC3\x28";
    switch (at) {
    case 0:
        *data = NULL;
        *len = 4;
        return wrong_with(way, HOMING_ERR_NULL, "NULL of 4 bytes");
    case 1:
        /* No limit is below 16. */
        *data = way->memory = calloc(limit + 1, sizeof(uint64_t));
        *len = limit + 1;
        return wrong_with(way, HOMING_ERR_LENGTH, "one longer than is taken");
    case 2:
        *len = SIZE_MAX;
        return wrong_with(way, HOMING_ERR_LENGTH, "a length of SIZE_MAX");
    case 3:
        *len = SIZE_MAX / 2 + 1;
        return wrong_with(way, HOMING_ERR_LENGTH, "a negative length");
    case 4:
        if (kind != UTF8)
            return SKIPPED;
        *data = not_utf8;
        *len = 2;
        return wrong_with(way, HOMING_ERR_VALUE, "no UTF-8");
    default:
        return NO_MORE;
    }
}

/* A copy of a struct with additional bytes, which are 0. */
static char *moved(struct attempt *attempt, struct arg *arg, size_t size, size_t more)
{
    char *memory = (char *)place(attempt, size + more, 0);
    memset(memory, 0, size + more);
    memcpy(memory, arg->p, size);
    return (char *)(arg->p = memory);
}

static enum made wrong_size(struct way *way, size_t at, struct attempt *attempt, const struct param *param)
{
    struct arg *arg = &attempt->args[param->at];
    size_t size = param->record->size, larger = size + sizeof(uint64_t);
    const size_t sizes[] = {0, 1, size - sizeof(uint64_t), 4097, SIZE_MAX};
    char *memory;
    if (at < 5) {
        memcpy(arg->p, &sizes[at], sizeof(size_t));
        return wrong_with(way, HOMING_ERR_SIZE, "a struct of another size");
    }
    switch (at) {
    case 5:
        arg->p = NULL;
        return wrong_with(way, HOMING_ERR_NULL, "NULL in place of a struct");
    case 6:
        memory = moved(attempt, arg, size, 1);
        memmove(memory + 1, memory, size);
        arg->p = memory + 1;
        return wrong_with(way, HOMING_ERR_VALUE, "a struct that is not aligned");
    case 7:
        memory = moved(attempt, arg, size, sizeof(uint64_t));
        memcpy(memory, &larger, sizeof larger);
        return wrong_with(way, HOMING_OK, "a later struct");
    default:
        if (param->kind == RESULT)
            return SKIPPED;
        memory = moved(attempt, arg, size, sizeof(uint64_t));
        memcpy(memory, &larger, sizeof larger);
        memory[size] = 1;
        return wrong_with(way, HOMING_ERR_SIZE, "a later struct, with what this library does not know");
    }
}

#define SIZE_WAYS 9
#define BYTES_WAYS 5

static enum made wrong_record(struct way *way, struct attempt *attempt, const struct param *param)
{
    const struct record *record = param->record;
    size_t at = way->number;
    const struct field *field;
    const struct wrong *wrong;
    enum made made;
    char *memory = (char *)attempt->args[param->at].p;
    if (at < SIZE_WAYS)
        return wrong_size(way, at, attempt, param);
    at -= SIZE_WAYS;
    for (field = record->fields; field->kind != NONE; field++, at -= BYTES_WAYS) {
        if (at < BYTES_WAYS) {
            const void *data;
            size_t len;
            memcpy(&data, memory + field->data, sizeof data);
            memcpy(&len, memory + field->len, sizeof len);
            made = wrong_bytes(way, at, field->kind, field->limit, &data, &len);
            memcpy(memory + field->data, &data, sizeof data);
            memcpy(memory + field->len, &len, sizeof len);
            return made;
        }
    }
    for (wrong = record->wrongs; wrong->width; wrong++, at--) {
        if (at == 0) {
            uint32_t narrow = (uint32_t)wrong->value;
            const void *value = wrong->width == 4 ? (const void *)&narrow : (const void *)&wrong->value;
            memcpy(memory + wrong->at, value, wrong->width);
            return wrong_with(way, wrong->status, "a number in a struct that means nothing");
        }
    }
    return NO_MORE;
}

static enum made wrong_handle(struct way *way, struct world *world, const struct param *param, struct arg *arg)
{
    size_t at = way->number;
    int32_t freed = param->kind == HANDLE_OR_FREED ? HOMING_OK : HOMING_ERR_HANDLE;
    int32_t status = HOMING_ERR_HANDLE;
    switch (at) {
    case 0:
        arg->u = 0;
        return wrong_with(way, param->kind == HANDLE ? HOMING_ERR_HANDLE : HOMING_OK, "no handle");
    case 1:
        arg->u = world->stale[param->type];
        return wrong_with(way, freed, "a handle that was freed");
    case 2:
        arg->u ^= UINT64_C(1) << 32;
        return wrong_with(way, freed, "another generation of a handle");
    case 3:
        arg->u++;
        return wrong_with(way, freed, "a neighbour of a handle");
    case 4:
        arg->u = UINT64_MAX;
        return wrong_with(way, status, "a made-up handle");
    case 5:
        arg->u = 1;
        return wrong_with(way, status, "a made-up handle");
    default:
        if (at - 6 >= TYPES)
            return NO_MORE;
        /* Keys can be added only to rings that were created without keys. */
        if (at - 6 == (size_t)param->type || (param->type == RING && at - 6 == PARTS))
            return SKIPPED;
        if (param->type == PARTS && at - 6 == RING)
            status = HOMING_ERR_VALUE;
        arg->u = world->live[at - 6];
        return wrong_with(way, status, "a handle of another type");
    }
}

static enum made wrong_text(struct way *way, struct attempt *attempt, const struct param *param)
{
    struct arg *arg = &attempt->args[param->at];
    size_t needed = arg[1].n;
    switch (way->number) {
    case 0:
        arg[2].p = NULL;
        return wrong_with(way, HOMING_ERR_NULL, "nowhere to put the length");
    case 1:
        arg[0].p = NULL;
        arg[1].n = 8;
        return wrong_with(way, HOMING_ERR_NULL, "NULL that takes 8 bytes");
    case 2:
        arg[0].p = NULL;
        arg[1].n = SIZE_MAX;
        return wrong_with(way, HOMING_ERR_NULL, "NULL that takes SIZE_MAX bytes");
    case 3:
        arg[0].p = place(attempt, needed - 1, 0);
        arg[1].n = needed - 1;
        return wrong_with(way, HOMING_ERR_BUFFER, "a byte too few");
    case 4:
        arg[0].p = NULL;
        arg[1].n = 0;
        return wrong_with(way, HOMING_ERR_BUFFER, "asked how much it takes");
    case 5:
        memset(arg, 0, 3 * sizeof *arg);
        return param->kind == OPTIONAL_TEXT ? wrong_with(way, HOMING_OK, "left out") : SKIPPED;
    default:
        return NO_MORE;
    }
}

/* Makes the argument of a parameter wrong, in the way with that number. */
static enum made make_wrong(struct way *way, struct attempt *attempt, const struct param *param)
{
    struct arg *arg = &attempt->args[param->at];
    switch (param->kind) {
    case ONE_OF:
        if (way->number > 1)
            return NO_MORE;
        arg->u = way->number ? UINT32_MAX : param->limit;
        return wrong_with(way, param->status, "a number that means nothing");
    case ID:
        if (way->number > 1)
            return NO_MORE;
        arg->u = way->number ? 0 : arg->u + 1;
        return wrong_with(way, HOMING_ERR_UNKNOWN, "the id of no upstream");
    case HANDLE:
    case HANDLE_OR_0:
    case HANDLE_OR_FREED:
        return wrong_handle(way, attempt->world, param, arg);
    case BYTES:
    case UTF8: {
        const void *data = arg[0].p;
        size_t len = arg[1].n;
        enum made made = wrong_bytes(way, way->number, param->kind, param->limit, &data, &len);
        arg[0].p = (void *)data;
        arg[1].n = len;
        return made;
    }
    case PLACE:
    case NEW:
        if (way->number > 1)
            return NO_MORE;
        if (way->number == 1) {
            arg->p = (char *)place(attempt, param->limit + 1, 0) + 1;
            return wrong_with(way, HOMING_ERR_VALUE, "a place that is not aligned");
        }
        arg->p = NULL;
        return wrong_with(way, HOMING_ERR_NULL, "no place for the result");
    case OPTIONS:
    case RESULT:
        return wrong_record(way, attempt, param);
    case TEXT:
    case OPTIONAL_TEXT:
        return wrong_text(way, attempt, param);
    case NONE:
    case NUMBER:
        break;
    }
    return NO_MORE;
}

/* Of a struct of a later version, the library writes the members it knows, and their size. */
static void check_later(struct attempt *attempt, const struct param *param)
{
    const char *memory = (const char *)attempt->args[param->at].p;
    size_t size, at = param->record->size;
    memcpy(&size, memory, sizeof size);
    if (size != at)
        fail(attempt, "a later struct", "it does not say how much of it is written");
    for (; at < param->record->size + sizeof(uint64_t); at++)
        if (memory[at] != 0)
            fail(attempt, "a later struct", "what the library does not know is written");
}

static enum made misuse(const struct function *function, const struct param *param, size_t number, struct world *world)
{
    struct attempt attempt;
    struct way way;
    enum made made;
    memset(&way, 0, sizeof way);
    way.number = number;
    attempt_new(&attempt, function, world);
    made = make_wrong(&way, &attempt, param);
    if (made == WRONG_ONE && way.status < HOMING_OK)
        attempt_refused(&attempt, way.status, way.what);
    if (made == WRONG_ONE && way.status == HOMING_OK) {
        /* An optional argument, or one that has no wrong value. The call succeeds, so this world is used up. */
        attempt_call(&attempt, HOMING_OK, way.what);
        if (param->kind == RESULT)
            check_later(&attempt, param);
        attempt_settle(&attempt);
        if (function->ends != TYPES && function->ends != param->type)
            world->live[function->ends] = 0;
        world_free(world);
        world_new(world);
    }
    attempt_free(&attempt);
    free(way.memory);
    return made;
}

/* Everything that can be wrong with a parameter; then a correct call, which works. */
static size_t misuse_param(const struct function *function, const struct param *param)
{
    struct world world;
    struct attempt attempt;
    enum made made = WRONG_ONE;
    size_t number, ways = 0;
    world_new(&world);
    for (number = 0; made != NO_MORE; number++) {
        made = misuse(function, param, number, &world);
        ways += made == WRONG_ONE;
    }
    attempt_new(&attempt, function, &world);
    attempt_works(&attempt, "called as it should be");
    attempt_free(&attempt);
    world_free(&world);
    return ways;
}

static void misuse_all(void)
{
    size_t f, p, ways = 0;
    for (f = 0; f < functions_len; f++)
        for (p = 0; p < PARAMETERS && (p == 0 || functions[f].params[p].kind != NONE); p++)
            ways += misuse_param(&functions[f], &functions[f].params[p]);
    printf("%d functions, misused in %d ways\n", (int)functions_len, (int)ways);
}

#ifdef HOMING_PLANT_PANIC

static void count_errors(int32_t level, const uint8_t *text, size_t text_len, void *user)
{
    CHECK(text_len > 0 && text[0] != 0);
    if (level == HOMING_LOG_ERROR)
        ++*(size_t *)user;
}

/* Each function panics in one call, and works in the next. */
static void panic_all(void)
{
    size_t f, logged = 0;
    for (f = 0; f < functions_len; f++) {
        struct world world;
        struct attempt attempt;
        uint8_t text[256];
        size_t len = 0;
        EXPECT(HOMING_OK, homing_set_log(count_errors, &logged));
        world_new(&world);
        attempt_new(&attempt, &functions[f], &world);
        attempt.plants = 1;
        /* It returns no status, and does nothing that could panic. */
        if (strcmp(functions[f].name, "homing_abi_version") == 0) {
            attempt_call(&attempt, HOMING_OK, "a panic is planted");
            EXPECT(HOMING_ERR_PANIC, homing_version(text, sizeof text, &len));
        } else {
            attempt_refused(&attempt, HOMING_ERR_PANIC, "a panic is planted");
        }
        EXPECT(HOMING_OK, homing_last_error(text, sizeof text, &len));
        CHECK(len > 7 && memcmp(text + len - 7, "planted", 7) == 0);
        attempt_free(&attempt);
        attempt_new(&attempt, &functions[f], &world);
        attempt_works(&attempt, "after a panic");
        attempt_free(&attempt);
        world_free(&world);
    }
    EXPECT(HOMING_OK, homing_set_log(NULL, NULL));
    CHECK(logged == functions_len);
    printf("%d functions panicked and went on\n", (int)functions_len);
}

#endif

int main(int argc, char **argv)
{
    size_t f;
    CHECK(argc > 1);
    if (strcmp(argv[1], "names") == 0) {
        for (f = 0; f < functions_len; f++)
            puts(functions[f].name);
        return 0;
    }
    CHECK(argc > 2 && strlen(argv[2]) < sizeof key_path);
    strcpy(key_path, argv[2]);
    if (strcmp(argv[1], "misuse") == 0)
        misuse_all();
#ifdef HOMING_PLANT_PANIC
    else if (strcmp(argv[1], "panic") == 0)
        panic_all();
#endif
    else
        CHECK(!"names, misuse or panic");
    return 0;
}
