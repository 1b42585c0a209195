/* Every function of the header, with its kinds of parameters and correct arguments. */
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
    NUMBER,   /* any value is correct */
    ONE_OF,   /* 0 to limit - 1; others return status */
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
    OPTIONAL_TEXT /* the same, but optional, and the text may be shorter than the capacity that is required */
};

struct param {
    enum kind kind;
    int at; /* the first of its arguments */
    enum type type;
    const char *bytes; /* a correct value */
    uint64_t number;   /* a correct value */
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

/* An invalid number in a struct. */
struct wrong {
    size_t at, width;
    uint64_t value;
    int32_t status;
};

struct record {
    size_t size;
    void (*fill)(struct world *world, void *record); /* with correct options; NULL for results */
    void (*release)(struct world *world, void *record); /* frees what a call returned; NULL if that is nothing */
    const struct field *fields; /* ends with one without kind */
    const struct wrong *wrongs; /* ends with one without width */
};

struct function {
    const char *name;
    int32_t (*call)(const struct arg *a);
    enum type ends; /* the kind of handle that a call frees; TYPES: none */
    struct param params[PARAMETERS];
};

extern const struct function functions[];
extern const size_t functions_len;

/* The path for homing_keyring_load(), where no file exists at first. */
extern char key_path[4096];

#endif
