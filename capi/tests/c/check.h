/* Shared by all programs of these tests, which compile as C99, C11 and C++17. */
#ifndef CHECK_H
#define CHECK_H

#include "homing.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 2026-01-01, for calls that take a time, so that results do not depend on the clock. */
#define NOW UINT64_C(1767225600000)

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__,         \
                    #condition);                                               \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

/* Fails unless a call returns this status, and prints the library's last error. */
#define EXPECT(status, call) expect(status, call, #call, __FILE__, __LINE__)

static inline void expect(int32_t status, int32_t got, const char *call, const char *file, int line)
{
    uint8_t text[1024];
    size_t len = 0;
    if (got == status)
        return;
    if (homing_last_error(text, sizeof text, &len) != HOMING_OK)
        len = 0;
    fprintf(stderr, "%s:%d: %s is %d, not %d: %.*s\n", file, line, call, got, status, (int)len, (const char *)text);
    exit(1);
}

static inline const uint8_t *bytes(const char *text)
{
    return (const uint8_t *)text;
}

static inline void *allocate(size_t size)
{
    /* At least one byte: NULL has another meaning for the library. */
    void *memory = malloc(size ? size : 1);
    CHECK(memory != NULL);
    return memory;
}

#endif
