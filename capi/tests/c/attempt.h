/* One call of one function, and what it did to the memory and the handles that it was given. */
#ifndef ATTEMPT_H
#define ATTEMPT_H

#include "functions.h"

/* Memory that a call may write to, of exactly its size, so that valgrind sees what goes beyond. */
struct place {
    void *memory, *before;
    size_t size;
    int is_length; /* of a buffer: written where that is too small */
};

#define PLACES (2 * PARAMETERS + 1)

struct attempt {
    const struct function *function;
    struct world *world;
    struct arg args[ARGUMENTS];
    struct place places[PLACES];
    size_t places_len;
    void *options[PARAMETERS];
    size_t options_len;
    int plants; /* whether its calls are to panic */
};

/* Arguments that the function takes. */
void attempt_new(struct attempt *attempt, const struct function *function, struct world *world);
void attempt_free(struct attempt *attempt);

/* A place of that size full of a pattern. */
void *place(struct attempt *attempt, size_t size, int is_length);

/* Calls, and fails unless that is what is returned. */
void attempt_call(struct attempt *attempt, int32_t status, const char *what);

/* Calls, and fails unless that is returned and nothing else is done: not to the places, not to the balancer. */
void attempt_refused(struct attempt *attempt, int32_t status, const char *what);

/* Ends what a call has begun. */
void attempt_settle(struct attempt *attempt);

/* Calls, and fails unless that works; ends what it began. */
void attempt_works(struct attempt *attempt, const char *what);

/* How much a text takes. */
size_t text_needed(struct attempt *attempt, const struct param *param);

void fail(const struct attempt *attempt, const char *what, const char *why);

#endif
