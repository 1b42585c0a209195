/* Every function of the header, with what its parameters are and arguments that it takes. */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include "world.h"

#define ARGUMENTS 9
#define PARAMETERS 7

/* An argument: a pointer, a length, or a number. */
struct arg {
    void *p;
    size_t n;
    uint64_t u;
};

enum kind {
    NONE,
    NUMBER,   /* any will do */
    ONE_OF,   /* 0 to limit - 1; what others return is status */
    ID,       /* of an upstream */
    HANDLE,
    HANDLE_OR_0,
    HANDLE_OR_FREED,
    BYTES,    /* pointer, length */
    UTF8,     /* likewise */
    PLACE,    /* of limit bytes */
    NEW,      /* a place for a new handle */
    OPTIONS,  /* a struct that is read */
    RESULT,   /* a struct that is written */
    TEXT,     /* buffer, capacity, length */
    OPTIONAL_TEXT /* likewise, but may be left out, and less may come than it must have room for */
};

struct param {
    enum kind kind;
    int at; /* the first of its arguments */
    enum type type;
    const char *bytes; /* a good value */
    uint64_t number;   /* a good value */
    size_t limit;
    int32_t status;
    const struct record *record;
};

/* A pointer and a length in a struct. */
struct field {
    enum kind kind;
    size_t data, len;
    size_t limit;
};

/* A number in a struct that means nothing. */
struct wrong {
    size_t at, width;
    uint64_t value;
    int32_t status;
};

struct record {
    size_t size;
    void (*fill)(struct world *world, void *record); /* with what a call takes; NULL for results */
    void (*release)(struct world *world, void *record); /* what a call gave; NULL where it gives nothing */
    const struct field *fields; /* up to one without kind */
    const struct wrong *wrongs; /* up to one without width */
};

struct function {
    const char *name;
    int32_t (*call)(const struct arg *a);
    enum type ends; /* the handle that a call ends; TYPES: none */
    struct param params[PARAMETERS];
};

extern const struct function functions[];
extern const size_t functions_len;

/* Where homing_keyring_load() finds no file at first. */
extern char key_path[4096];

#endif
