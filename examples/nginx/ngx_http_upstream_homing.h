/* What the two files of the module share: the upstreams that it serves. */

#ifndef NGX_HTTP_UPSTREAM_HOMING_H
#define NGX_HTTP_UPSTREAM_HOMING_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <homing.h>

/* One shared object, which exports the module alone. */
#pragma GCC visibility push(hidden)

typedef struct {
    ngx_array_t upstreams;                  /* of upstream_t * */
    ngx_int_t http_cookie;                  /* the variable's index */
    ngx_event_t tick;
} main_t;

typedef struct {
    ngx_http_upstream_srv_conf_t *us;       /* NULL: an upstream{} without homing */
    ngx_str_t file;                         /* where the directive stands: us may have been spoken of before */
    ngx_uint_t line;
    homing_handle config, keys;
    homing_handle engine;                   /* this worker's */
    uint64_t generation;
    ngx_http_complex_value_t *key;          /* what policies hash, in place of the client's address */
    ngx_str_t *names;                       /* of peers, by index */
    ngx_uint_t number, primaries;
    u_char *eligible;                       /* scratch: a bit a peer */
    ngx_str_t cookie;                       /* scratch: a Set-Cookie line's value, at its longest */
} upstream_t;

/* Called for each request that goes to such an upstream. */
ngx_int_t homing_init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us);

/* $homing_decision, and $homing_upstream with is_upstream: those of the last try. */
ngx_int_t homing_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t is_upstream);

/* Logs why the last call failed. */
void homing_log_error(ngx_log_t *log, ngx_uint_t level, upstream_t *upstream);

#pragma GCC visibility pop

extern ngx_module_t ngx_http_upstream_homing_module;

static ngx_inline uint64_t homing_now(void)
{
    ngx_time_t *time = ngx_timeofday();
    return (uint64_t) time->sec * 1000 + time->msec;
}

#endif
