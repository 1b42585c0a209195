/*
 * Session affinity by signed cookies, and Homing's policies, for the servers of an upstream{}:
 *
 *     homing key_file=homing.keys policy=least_sessions;
 *
 * nginx keeps the peers with their conns and fails (in shared memory where there is a zone), and decides by max_fails,
 * max_conns, down and backup which of them are available. The balancer gets these as the eligible upstreams, and picks
 * one for the request's session. Its upstreams are the primary peers followed by the backup peers, in the order of
 * nginx's lists, so that an index identifies a peer on both sides.
 *
 * Keys and configuration are read in the master, where an error stops the (re)load. Every worker builds its own
 * balancer.
 */

#include "ngx_http_upstream_homing.h"

#define TICK_MS   100
/* Of every balancer: nginx judges the peers, see free_peer(). */
#define SETTINGS  "health.silence = '0s'\n"

static ngx_uint_t is(const ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word) && ngx_strncmp(s->data, word, s->len) == 0;
}

/* Why the last call failed; without line and column, if these are of the text that directive() builds. */
static ngx_str_t error_text(void)
{
    static u_char text[1024];
    ngx_str_t error = { 0, text };
    u_char *space;

    if (homing_last_error(text, sizeof(text), &error.len) != HOMING_OK)
        error.len = 0;
    space = ngx_strlchr(text, text + error.len, ' ');
    if (space && ngx_strncmp(text, "configuration:", 14) == 0) {
        error.data = space + 1;
        error.len -= error.data - text;
    }
    return error;
}

void homing_log_error(ngx_log_t *log, ngx_uint_t level, upstream_t *upstream)
{
    ngx_str_t error = error_text();

    ngx_log_error(level, log, 0, "homing: %V in upstream \"%V\" in %s:%ui", &error, &upstream->us->host,
                  upstream->file.data, upstream->line);
}

/* The library's own log lines, such as the warning that other users can read the key file. */
static void log_line(int32_t level, const uint8_t *text, size_t len, void *user)
{
    static const ngx_uint_t levels[] = { [HOMING_LOG_INFO] = NGX_LOG_NOTICE, [HOMING_LOG_WARN] = NGX_LOG_WARN };
    ngx_uint_t ours = level == HOMING_LOG_INFO || level == HOMING_LOG_WARN ? levels[level] : NGX_LOG_ERR;

    ngx_log_error(ours, ngx_cycle->log, 0, "homing: %*s", len, text);
}

static ngx_int_t refuse(ngx_log_t *log, upstream_t *upstream)
{
    homing_log_error(log, NGX_LOG_EMERG, upstream);
    return NGX_ERROR;
}

/* ---- a worker ---- */

static void tick(ngx_event_t *event)
{
    main_t *main = ((ngx_connection_t *) event->data)->data;
    upstream_t **upstreams = main->upstreams.elts;
    ngx_uint_t i;

    for (i = 0; i < main->upstreams.nelts; i++)
        (void) homing_tick(upstreams[i]->balancer, homing_now());
    ngx_add_timer(event, TICK_MS);
}

static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    static ngx_connection_t dummy;          /* nginx's debug log casts the data of an event to a connection */
    main_t *main = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_upstream_homing_module);
    upstream_t **upstreams;
    size_t number;
    ngx_uint_t i;

    if (main == NULL || (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE))
        return NGX_OK;
    upstreams = main->upstreams.elts;
    for (i = 0; i < main->upstreams.nelts; i++) {
        upstream_t *upstream = upstreams[i];
        if (homing_balancer_new(upstream->config, upstream->keys, &upstream->balancer) != HOMING_OK
            || homing_balancer_upstreams(upstream->balancer, &number, &upstream->generation) != HOMING_OK)
            return refuse(cycle->log, upstream);
    }
    dummy.fd = -1;
    dummy.data = main;
    main->tick.data = &dummy;
    main->tick.handler = tick;
    main->tick.log = cycle->log;
    main->tick.cancelable = 1;              /* it does not delay a graceful exit */
    ngx_add_timer(&main->tick, TICK_MS);
    return NGX_OK;
}

/* homing_status: the status of this worker's balancers as JSON. */
static ngx_int_t status_handler(ngx_http_request_t *r)
{
    main_t *main = ngx_http_get_module_main_conf(r, ngx_http_upstream_homing_module);
    upstream_t **upstreams = main->upstreams.elts;
    size_t need, size = sizeof("{\"worker\":,\"upstreams\":{}}") + NGX_INT64_LEN;
    uint64_t now = homing_now();
    ngx_uint_t i;
    ngx_buf_t *b;
    ngx_chain_t out;
    ngx_int_t rc = ngx_http_discard_request_body(r);

    for (i = 0; i < main->upstreams.nelts; i++) {
        need = 0;
        (void) homing_status_json(upstreams[i]->balancer, now, NULL, 0, &need);
        size += need + upstreams[i]->us->host.len + sizeof("\"\":,");
    }
    b = ngx_create_temp_buf(r->pool, size);
    if (rc != NGX_OK || b == NULL)
        return rc != NGX_OK ? rc : NGX_HTTP_INTERNAL_SERVER_ERROR;
    b->last = ngx_sprintf(b->last, "{\"worker\":%P,\"upstreams\":{", ngx_pid);
    for (i = 0; i < main->upstreams.nelts; i++) {
        b->last = ngx_sprintf(b->last, "%s\"%V\":", i ? "," : "", &upstreams[i]->us->host);
        if (homing_status_json(upstreams[i]->balancer, now, b->last, b->end - b->last, &need) != HOMING_OK) {
            homing_log_error(r->connection->log, NGX_LOG_ERR, upstreams[i]);
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
        b->last += need;
    }
    b->last = ngx_cpymem(b->last, "}}", 2);
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;
    out.buf = b;
    out.next = NULL;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    rc = ngx_http_send_header(r);
    return rc == NGX_ERROR || rc > NGX_OK || r->header_only ? rc : ngx_http_output_filter(r, &out);
}

/* ---- configuration, in the master ---- */

static void cleanup(void *data)
{
    upstream_t *upstream = data;

    (void) homing_balancer_free(upstream->balancer);
    (void) homing_config_free(upstream->config);
    (void) homing_keyring_free(upstream->keys);
}

/* The upstream's name: the server as written in the configuration, or its address where it resolves to several. */
static ngx_str_t name_of(ngx_http_upstream_rr_peer_t *peer, ngx_http_upstream_rr_peers_t *peers)
{
    ngx_http_upstream_rr_peer_t *other;

    for (other = peers->peer; other; other = other->next) {
        if (other != peer && other->server.data == peer->server.data)
            return peer->name;
    }
    return peer->server;
}

/* nginx calls this when it has read all servers of the upstream{}. */
static ngx_int_t init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    upstream_t *upstream = ngx_http_conf_upstream_srv_conf(us, ngx_http_upstream_homing_module);
    ngx_http_upstream_rr_peers_t *peers;
    ngx_http_upstream_rr_peer_t *peer;
    homing_upstream_options options;
    homing_handle balancer;
    ngx_str_t *name;

    if (ngx_http_upstream_init_round_robin(cf, us) != NGX_OK)
        return NGX_ERROR;
    us->peer.init = homing_init_peer;
    peers = us->peer.data;
    upstream->primaries = peers->number;
    upstream->number = peers->number + (peers->next ? peers->next->number : 0);
    upstream->eligible = ngx_pnalloc(cf->pool, (upstream->number + 7) / 8);
    upstream->names = name = ngx_palloc(cf->pool, upstream->number * sizeof(ngx_str_t));
    if (upstream->eligible == NULL || name == NULL)
        return NGX_ERROR;

    for ( /* void */ ; peers; peers = peers->next) {
        for (peer = peers->peer; peer; peer = peer->next, name++) {
            *name = name_of(peer, peers);
            ngx_memzero(&options, sizeof(options));
            options.size = sizeof(options);
            options.name = name->data;
            options.name_len = name->len;
            options.address = peer->server.data;    /* what nginx's consistent hash uses */
            options.address_len = peer->server.len;
            options.weight = peer->weight;
            if (homing_config_upstream(upstream->config, &options) != HOMING_OK)
                return refuse(cf->log, upstream);
        }
    }

    /* Builds a balancer to validate the configuration: the workers build theirs later. */
    if (homing_balancer_new(upstream->config, upstream->keys, &balancer) != HOMING_OK
        || homing_set_cookie_max(balancer, &upstream->cookie.len) != HOMING_OK
        || homing_balancer_free(balancer) != HOMING_OK)
        return refuse(cf->log, upstream);
    upstream->cookie.data = ngx_pnalloc(cf->pool, upstream->cookie.len);
    return upstream->cookie.data ? NGX_OK : NGX_ERROR;
}

/*
 * homing key_file=FILE [key=STRING] [policy=NAME] [policy.PARAMETER=VALUE ...] [OPTION=VALUE ...];
 *
 * Options are the keys of [affinity] in the gateway's configuration; policy parameters are those of its [policy].
 */
static char *directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    upstream_t *upstream = conf, **added;
    main_t *main = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_homing_module);
    ngx_str_t *arg = cf->args->elts, name, value, file = ngx_null_string;
    ngx_http_compile_complex_value_t compile = { .cf = cf, .value = &value };
    ngx_pool_cleanup_t *cln = ngx_pool_cleanup_add(cf->pool, 0);
    size_t size = sizeof(SETTINGS);
    u_char *toml, *p;
    ngx_uint_t i, bare;

    if (upstream->us)
        return "is duplicate";
    added = ngx_array_push(&main->upstreams);
    for (i = 1; i < cf->args->nelts; i++)
        size += arg[i].len + sizeof("affinity. = ''\n");
    toml = ngx_pnalloc(cf->temp_pool, size);
    if (cln == NULL || added == NULL || toml == NULL)
        return NGX_CONF_ERROR;
    cln->handler = cleanup;
    cln->data = *added = upstream;
    upstream->us = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);
    upstream->file = cf->conf_file->file.name;
    upstream->line = cf->conf_file->line;

    p = ngx_cpymem(toml, SETTINGS, sizeof(SETTINGS) - 1);
    for (i = 1; i < cf->args->nelts; i++) {
        name.data = arg[i].data;
        value.data = ngx_strlchr(name.data, name.data + arg[i].len, '=');
        if (value.data == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "homing: \"%V\" is not of the form NAME=VALUE", &arg[i]);
            return NGX_CONF_ERROR;
        }
        name.len = value.data++ - name.data;
        value.len = arg[i].len - name.len - 1;
        if (is(&name, "key_file")) {
            file = value;
        } else if (is(&name, "key")) {
            compile.complex_value = upstream->key = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
            if (upstream->key == NULL || ngx_http_compile_complex_value(&compile) != NGX_OK)
                return NGX_CONF_ERROR;
        } else {
            if (is(&name, "policy")) {
                ngx_str_set(&name, "policy.name");
            }
            bare = is(&value, "true") || is(&value, "false");
            p = ngx_sprintf(p, "%s%V = %s%V%s\n", ngx_strncmp(name.data, "policy.", 7) ? "affinity." : "", &name,
                            bare ? "" : "'", &value, bare ? "" : "'");
        }
    }

    if (file.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "homing: name the file of the keys, key_file=homing.keys");
        return NGX_CONF_ERROR;
    }
    if (ngx_conf_full_name(cf->cycle, &file, 1) != NGX_OK)
        return NGX_CONF_ERROR;
    if (homing_config_parse(toml, p - toml, &upstream->config) != HOMING_OK
        || homing_keyring_load(file.data, file.len, &upstream->keys) != HOMING_OK)
    {
        ngx_str_t error = error_text();
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "homing: %V", &error);
        return NGX_CONF_ERROR;
    }
    if (upstream->us->peer.init_upstream)
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "load balancing method redefined");
    upstream->us->peer.init_upstream = init_upstream;
    upstream->us->flags = NGX_HTTP_UPSTREAM_CREATE | NGX_HTTP_UPSTREAM_WEIGHT | NGX_HTTP_UPSTREAM_MAX_CONNS
                          | NGX_HTTP_UPSTREAM_MAX_FAILS | NGX_HTTP_UPSTREAM_FAIL_TIMEOUT | NGX_HTTP_UPSTREAM_DOWN
                          | NGX_HTTP_UPSTREAM_BACKUP;
    return NGX_CONF_OK;
}

static char *status_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t *location = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    location->handler = status_handler;
    return NGX_CONF_OK;
}

static ngx_int_t preconfiguration(ngx_conf_t *cf)
{
    static ngx_str_t names[] = { ngx_string("homing_decision"), ngx_string("homing_upstream"), ngx_string("http_cookie") };
    main_t *main = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_homing_module);
    ngx_http_variable_t *added;
    ngx_uint_t i;

    for (i = 0; i < 2; i++) {
        added = ngx_http_add_variable(cf, &names[i], NGX_HTTP_VAR_NOCACHEABLE);
        if (added == NULL)
            return NGX_ERROR;
        added->get_handler = homing_variable;
        added->data = i;
    }
    (void) homing_set_log(log_line, NULL);
    main->http_cookie = ngx_http_get_variable_index(cf, &names[2]);
    return main->http_cookie == NGX_ERROR ? NGX_ERROR : NGX_OK;
}

static void *create_main(ngx_conf_t *cf)
{
    main_t *main = ngx_pcalloc(cf->pool, sizeof(main_t));

    return main && ngx_array_init(&main->upstreams, cf->pool, 4, sizeof(upstream_t *)) == NGX_OK ? main : NULL;
}

static void *create_upstream(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(upstream_t));
}

static ngx_command_t commands[] = {
    { ngx_string("homing"), NGX_HTTP_UPS_CONF|NGX_CONF_1MORE, directive, NGX_HTTP_SRV_CONF_OFFSET, 0, NULL },
    { ngx_string("homing_status"), NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS, status_directive, 0, 0, NULL },
    ngx_null_command
};

static ngx_http_module_t http_module = {
    .preconfiguration = preconfiguration, .create_main_conf = create_main, .create_srv_conf = create_upstream
};

ngx_module_t ngx_http_upstream_homing_module = {
    NGX_MODULE_V1, &http_module, commands, NGX_HTTP_MODULE, NULL, NULL, init_process, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};
