/* Shared by the two files of the module: the upstream{} blocks that it serves. */

#ifndef NGX_HTTP_UPSTREAM_HOMING_H
#define NGX_HTTP_UPSTREAM_HOMING_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <homing.h>

/* The shared object exports the module alone. */
#pragma GCC visibility push(hidden)

typedef struct {
    ngx_array_t upstreams;                  /* of upstream_t * */
    ngx_int_t http_cookie;                  /* the variable's index */
    ngx_event_t tick;
} main_t;

typedef struct {
    ngx_http_upstream_srv_conf_t *us;       /* NULL: an upstream{} without homing */
    ngx_str_t file;                         /* where the directive is; us may have been referred to before */
    ngx_uint_t line;
    homing_handle config, keys;
    homing_handle balancer;                   /* this worker's */
    uint64_t generation;
    ngx_http_complex_value_t *key;          /* what policies hash, instead of the client's address */
    ngx_str_t *names;                       /* names of peers, by index */
    ngx_uint_t number, primaries;
    u_char *eligible;                       /* scratch: one bit for each peer */
    ngx_str_t cookie;                       /* scratch: room for the longest Set-Cookie value */
} upstream_t;

/* nginx calls this for each request to such an upstream{}. */
ngx_int_t homing_init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us);

/* $homing_decision, or $homing_upstream with is_upstream; both are of the last try. */
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
