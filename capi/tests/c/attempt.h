/* One call of one function, and its effects on the memory and the handles that it was given. */
#ifndef ATTEMPT_H
#define ATTEMPT_H

#include "functions.h"

/* Memory that a call may write to, allocated with its exact size, so that valgrind detects writes beyond it. */
struct place {
    void *memory, *before;
    size_t size;
    int is_length; /* of a buffer: written if the buffer is too small */
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
    int plants; /* whether a panic is planted in its calls */
};

/* Correct arguments of the function. */
void attempt_new(struct attempt *attempt, const struct function *function, struct world *world);
void attempt_free(struct attempt *attempt);

/* A place of that size, filled with a pattern. */
void *place(struct attempt *attempt, size_t size, int is_length);

/* Calls, and fails unless this status is returned. */
void attempt_call(struct attempt *attempt, int32_t status, const char *what);

/* Calls, and fails unless this status is returned and places and balancer are unchanged. */
void attempt_refused(struct attempt *attempt, int32_t status, const char *what);

/* Frees what a call created. */
void attempt_settle(struct attempt *attempt);

/* Calls, and fails unless that succeeds; frees what it created. */
void attempt_works(struct attempt *attempt, const char *what);

/* The length of a text. */
size_t text_needed(struct attempt *attempt, const struct param *param);

void fail(const struct attempt *attempt, const char *what, const char *why);

#endif
