/*
 * Session affinity by signed cookies, and Homing's placement, for the servers of an upstream{}:
 *
 *     homing key_file=homing.keys policy=least_sessions;
 *
 * nginx keeps what it always had: the peers, their conns and fails, in shared memory where there is a zone, and the verdicts
 * by max_fails, max_conns, down and backup. The engine is told whom these leave, and says which of them a session goes to.
 * Its upstreams are the primary peers and then the backup ones, in the order of nginx's lists, so that an index is all that
 * passes between the two.
 *
 * Keys and configuration are read in the master, where an error stops the (re)load. Every worker builds its own engine.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <homing.h>

#define TICK_MS   100
#define BITS      (8 * sizeof(uintptr_t))
/* What every engine is told: that nobody is suspect for his silence, see free_peer(). */
#define SETTINGS  "health.silence = '0s'\n"

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

typedef struct {
    ngx_http_upstream_rr_peer_data_t rrp;   /* first, for nginx's own functions take this structure as theirs */
    upstream_t *upstream;
    ngx_http_request_t *request;
    homing_request ask;
    homing_handle lease;
    uint32_t index;
    int32_t decision;                       /* -1: none yet */
    ngx_table_elt_t *set_cookie;
    unsigned backup:1;                      /* no primary peer was left */
    unsigned lookup:1;                      /* its peer lacks what was asked for, and others are asked */
} ctx_t;

ngx_module_t ngx_http_upstream_homing_module;

static ngx_uint_t is(const ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word) && ngx_strncmp(s->data, word, s->len) == 0;
}

static uint64_t now_ms(void)
{
    ngx_time_t *time = ngx_timeofday();
    return (uint64_t) time->sec * 1000 + time->msec;
}

/* Why the last call failed; without the place, if it is one in the text that directive() makes. */
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

static ngx_int_t failed(ngx_log_t *log, ngx_uint_t level, upstream_t *upstream)
{
    ngx_str_t error = error_text();
    ngx_log_error(level, log, 0, "homing: %V in upstream \"%V\" in %s:%ui", &error, &upstream->us->host,
                  upstream->file.data, upstream->line);
    return NGX_ERROR;
}

/* ---- a request ---- */

/* Tells the engine whom nginx's verdicts leave, and asks it. */
static int32_t pick(ctx_t *ctx, homing_pick_result *result, size_t *cookie_len)
{
    upstream_t *upstream = ctx->upstream;
    ngx_http_upstream_rr_peers_t *peers = ctx->rrp.peers;
    ngx_http_upstream_rr_peer_t *peer;
    ngx_uint_t i = 0, index = ctx->backup ? upstream->primaries : 0;

    ngx_memzero(upstream->eligible, ctx->ask.eligible_len);
    for (peer = peers->peer; peer; peer = peer->next, i++, index++) {
        /* As everywhere in nginx, one that is alone is never given up. */
        if (!peer->down
            && !(ctx->rrp.tried[i / BITS] & (uintptr_t) 1 << i % BITS)
            && !(peer->max_conns && peer->conns >= peer->max_conns)
            && !(peer->max_fails && peer->fails >= peer->max_fails && !peers->single
                 && ngx_time() - peer->checked <= peer->fail_timeout))
            upstream->eligible[index / 8] |= 1 << index % 8;
    }

    ngx_memzero(result, sizeof(*result));
    result->size = sizeof(*result);
    ctx->ask.now_ms = now_ms();
    return homing_pick(upstream->engine, &ctx->ask, result, NULL, 0, NULL, upstream->cookie.data, upstream->cookie.len,
                       cookie_len);
}

/* Adds a Set-Cookie line to the response, or changes the one that was added; of no length, takes it back. */
static ngx_int_t set_cookie(ctx_t *ctx, size_t len)
{
    ngx_table_elt_t *line = ctx->set_cookie;
    ngx_pool_t *pool = ctx->request->pool;

    if (line)
        line->hash = 0;
    if (len == 0)
        return NGX_OK;
    if (line == NULL) {
        line = ngx_list_push(&ctx->request->headers_out.headers);
        if (line == NULL)
            return NGX_ERROR;
        ngx_memzero(line, sizeof(*line));   /* since nginx 1.23 it has a link, too */
        ngx_str_set(&line->key, "Set-Cookie");
        ctx->set_cookie = line;
    }
    line->value.len = len;
    line->value.data = ngx_pnalloc(pool, len);
    if (line->value.data == NULL)
        return NGX_ERROR;
    ngx_memcpy(line->value.data, ctx->upstream->cookie.data, len);
    line->hash = 1;
    return NGX_OK;
}

static ngx_int_t get_peer(ngx_peer_connection_t *pc, void *data)
{
    ctx_t *ctx = data;
    ngx_http_upstream_rr_peer_data_t *rrp = &ctx->rrp;
    ngx_http_upstream_rr_peers_t *peers;
    ngx_http_upstream_rr_peer_t *peer;
    homing_pick_result result;
    size_t cookie_len;
    int32_t status;
    ngx_uint_t i, n;

    pc->cached = 0;
    pc->connection = NULL;
    for ( ;; ) {
        peers = rrp->peers;
        ngx_http_upstream_rr_peers_wlock(peers);
        status = pick(ctx, &result, &cookie_len);
        if (status == HOMING_OK)
            break;
        ngx_http_upstream_rr_peers_unlock(peers);
        if (status != HOMING_ERR_UNAVAILABLE && status != HOMING_ERR_REJECTED)
            return failed(pc->log, NGX_LOG_ERR, ctx->upstream);
        if (peers->next == NULL || status == HOMING_ERR_REJECTED) {
            pc->name = peers->name;
            return NGX_BUSY;
        }
        rrp->peers = peers->next;
        ctx->backup = 1;
        ngx_memzero(rrp->tried, (rrp->peers->number + BITS - 1) / BITS * sizeof(uintptr_t));
    }

    i = result.index - (ctx->backup ? ctx->upstream->primaries : 0);
    for (peer = peers->peer, n = 0; n < i; n++)
        peer = peer->next;
    if (ngx_time() - peer->checked > peer->fail_timeout)
        peer->checked = ngx_time();
    pc->sockaddr = peer->sockaddr;
    pc->socklen = peer->socklen;
    pc->name = &peer->name;
#if (NGX_HTTP_UPSTREAM_SID)
    pc->sid = &peer->sid;
#endif
#ifdef ngx_http_upstream_rr_peer_ref
    ngx_http_upstream_rr_peer_ref(peers, peer);
#endif
    peer->conns++;
    rrp->current = peer;
    rrp->tried[i / BITS] |= (uintptr_t) 1 << i % BITS;
    ngx_http_upstream_rr_peers_unlock(peers);

    ctx->lease = result.lease;
    ctx->index = result.index;
    ctx->decision = result.decision;
    /* A session does not move for one thing that its peer lacks. */
    return ctx->lookup ? NGX_OK : set_cookie(ctx, cookie_len);
}

/*
 * max_fails is the judge of peers. The engine would judge as well, by failures, but it hears of answers alone: these are for
 * the policies that go by latency.
 */
static void free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    ctx_t *ctx = data;
    ngx_http_upstream_t *u = ctx->request->upstream;
    ngx_connection_t *c = pc->connection;
    int32_t outcome = HOMING_OUTCOME_NONE;
    uint64_t latency_us = 0;
    ngx_uint_t i;

    if (u->state->header_time != (ngx_msec_t) -1) {
        if (u->headers_in.status_n < NGX_HTTP_INTERNAL_SERVER_ERROR)
            outcome = HOMING_OUTCOME_ANSWERED;
        /* nginx counts milliseconds, of which most answers take less than one. */
        latency_us = u->state->header_time ? u->state->header_time * 1000 : 500;
    } else if (state & NGX_PEER_FAILED && pc->cached && u->state->bytes_received == 0
               && !(c && (c->read->timedout || c->write->timedout)))
    {
        /* An idle connection that the peer had closed says nothing about the peer: it may be asked again, and no session moves
         * for this. It comes to an end, for each time one such connection is gone. */
        i = ctx->index - (ctx->backup ? ctx->upstream->primaries : 0);
        ctx->rrp.tried[i / BITS] &= ~((uintptr_t) 1 << i % BITS);
        state &= ~NGX_PEER_FAILED;
    }
    (void) homing_finish(ctx->upstream->engine, ctx->lease, outcome, latency_us, now_ms());

    if (state & NGX_PEER_FAILED)
        (void) set_cookie(ctx, 0);
    ctx->lookup |= (state & NGX_PEER_NEXT) != 0;
    ngx_http_upstream_free_round_robin_peer(pc, &ctx->rrp, state);
}

static ngx_int_t init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    main_t *main = ngx_http_get_module_main_conf(r, ngx_http_upstream_homing_module);
    upstream_t *upstream = ngx_http_conf_upstream_srv_conf(us, ngx_http_upstream_homing_module);
    ctx_t *ctx = ngx_pcalloc(r->pool, sizeof(ctx_t));
    struct sockaddr *client = r->connection->sockaddr;
    ngx_http_variable_value_t *cookie;
    ngx_str_t key = ngx_null_string;

    if (ctx == NULL)
        return NGX_ERROR;
    r->upstream->peer.data = ctx;
    if (ngx_http_upstream_init_round_robin_peer(r, us) != NGX_OK
        || (upstream->key && ngx_http_complex_value(r, upstream->key, &key) != NGX_OK))
        return NGX_ERROR;
    r->upstream->peer.get = get_peer;
    r->upstream->peer.free = free_peer;
    ngx_http_set_ctx(r, ctx, ngx_http_upstream_homing_module);
    ctx->upstream = upstream;
    ctx->request = r;
    ctx->decision = -1;

    ctx->ask.size = sizeof(homing_request);
    ctx->ask.generation = upstream->generation;
    ctx->ask.eligible = upstream->eligible;
    ctx->ask.eligible_len = (upstream->number + 7) / 8;
    ctx->ask.key = key.data;
    ctx->ask.key_len = ngx_min(key.len, HOMING_INPUT_MAX);
    if (client->sa_family == AF_INET) {
        ctx->ask.client = (u_char *) &((struct sockaddr_in *) client)->sin_addr;
        ctx->ask.client_len = 4;
    }
#if (NGX_HAVE_INET6)
    if (client->sa_family == AF_INET6) {
        ctx->ask.client = (u_char *) &((struct sockaddr_in6 *) client)->sin6_addr;
        ctx->ask.client_len = 16;
    }
#endif
#if (NGX_HTTP_SSL)
    ctx->ask.flags = r->connection->ssl ? HOMING_REQUEST_HTTPS : 0;
#endif
    /* $http_cookie joins several lines; how headers_in holds them depends on nginx's version. */
    cookie = ngx_http_get_indexed_variable(r, main->http_cookie);
    if (cookie && !cookie->not_found) {
        ctx->ask.cookie = cookie->data;
        ctx->ask.cookie_len = ngx_min(cookie->len, HOMING_INPUT_MAX);
    }
    return NGX_OK;
}

/* ---- a worker ---- */

static void tick(ngx_event_t *event)
{
    main_t *main = ((ngx_connection_t *) event->data)->data;
    upstream_t **upstreams = main->upstreams.elts;
    ngx_uint_t i;

    for (i = 0; i < main->upstreams.nelts; i++)
        (void) homing_tick(upstreams[i]->engine, now_ms());
    ngx_add_timer(event, TICK_MS);
}

static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    static ngx_connection_t dummy;          /* nginx's debugging log takes the data of events for connections */
    main_t *main = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_upstream_homing_module);
    upstream_t **upstreams;
    size_t number;
    ngx_uint_t i;

    if (main == NULL || (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE))
        return NGX_OK;
    upstreams = main->upstreams.elts;
    for (i = 0; i < main->upstreams.nelts; i++) {
        upstream_t *upstream = upstreams[i];
        if (homing_balancer_new(upstream->config, upstream->keys, &upstream->engine) != HOMING_OK
            || homing_balancer_upstreams(upstream->engine, &number, &upstream->generation) != HOMING_OK)
            return failed(cycle->log, NGX_LOG_EMERG, upstream);
    }
    dummy.fd = -1;
    dummy.data = main;
    main->tick.data = &dummy;
    main->tick.handler = tick;
    main->tick.log = cycle->log;
    main->tick.cancelable = 1;              /* it holds up no graceful exit */
    ngx_add_timer(&main->tick, TICK_MS);
    return NGX_OK;
}

/* What this worker's engines say of themselves. */
static ngx_int_t status_handler(ngx_http_request_t *r)
{
    main_t *main = ngx_http_get_module_main_conf(r, ngx_http_upstream_homing_module);
    upstream_t **upstreams = main->upstreams.elts;
    size_t need, size = sizeof("{\"worker\":,\"upstreams\":{}}") + NGX_INT64_LEN;
    uint64_t now = now_ms();
    ngx_uint_t i;
    ngx_buf_t *b;
    ngx_chain_t out;
    ngx_int_t rc = ngx_http_discard_request_body(r);

    for (i = 0; i < main->upstreams.nelts; i++) {
        need = 0;
        (void) homing_status_json(upstreams[i]->engine, now, NULL, 0, &need);
        size += need + upstreams[i]->us->host.len + sizeof("\"\":,");
    }
    b = ngx_create_temp_buf(r->pool, size);
    if (rc != NGX_OK || b == NULL)
        return rc != NGX_OK ? rc : NGX_HTTP_INTERNAL_SERVER_ERROR;
    b->last = ngx_sprintf(b->last, "{\"worker\":%P,\"upstreams\":{", ngx_pid);
    for (i = 0; i < main->upstreams.nelts; i++) {
        b->last = ngx_sprintf(b->last, "%s\"%V\":", i ? "," : "", &upstreams[i]->us->host);
        if (homing_status_json(upstreams[i]->engine, now, b->last, b->end - b->last, &need) != HOMING_OK) {
            (void) failed(r->connection->log, NGX_LOG_ERR, upstreams[i]);
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

/* $homing_decision and $homing_upstream: those of the last try. */
static ngx_int_t variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t is_upstream)
{
    ctx_t *ctx = ngx_http_get_module_ctx(r, ngx_http_upstream_homing_module);
    ngx_str_t value;

    v->not_found = ctx == NULL || ctx->decision == -1;
    if (v->not_found)
        return NGX_OK;
    if (is_upstream) {
        value = ctx->upstream->names[ctx->index];
    } else {
        value.data = ngx_pnalloc(r->pool, HOMING_NAME_MAX);
        if (value.data == NULL
            || homing_decision_name(ctx->decision, value.data, HOMING_NAME_MAX, &value.len) != HOMING_OK)
            return NGX_ERROR;
    }
    v->data = value.data;
    v->len = value.len;
    v->valid = 1;
    return NGX_OK;
}

/* ---- configuration, in the master ---- */

static void cleanup(void *data)
{
    upstream_t *upstream = data;

    (void) homing_balancer_free(upstream->engine);
    (void) homing_config_free(upstream->config);
    (void) homing_keyring_free(upstream->keys);
}

/* A server is called as it is written, or by its address where it has several. */
static ngx_str_t name_of(ngx_http_upstream_rr_peer_t *peer, ngx_http_upstream_rr_peers_t *peers)
{
    ngx_http_upstream_rr_peer_t *other;

    for (other = peers->peer; other; other = other->next) {
        if (other != peer && other->server.data == peer->server.data)
            return peer->name;
    }
    return peer->server;
}

/* Called when all servers of the upstream{} are known. */
static ngx_int_t init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    upstream_t *upstream = ngx_http_conf_upstream_srv_conf(us, ngx_http_upstream_homing_module);
    ngx_http_upstream_rr_peers_t *peers;
    ngx_http_upstream_rr_peer_t *peer;
    homing_upstream_options options;
    homing_handle engine;
    ngx_str_t *name;

    if (ngx_http_upstream_init_round_robin(cf, us) != NGX_OK)
        return NGX_ERROR;
    us->peer.init = init_peer;
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
            options.address = peer->server.data;    /* what nginx's consistent hash goes by */
            options.address_len = peer->server.len;
            options.weight = peer->weight;
            if (homing_config_upstream(upstream->config, &options) != HOMING_OK)
                return failed(cf->log, NGX_LOG_EMERG, upstream);
        }
    }

    /* An engine to see that the workers will have theirs. */
    if (homing_balancer_new(upstream->config, upstream->keys, &engine) != HOMING_OK
        || homing_set_cookie_max(engine, &upstream->cookie.len) != HOMING_OK
        || homing_balancer_free(engine) != HOMING_OK)
        return failed(cf->log, NGX_LOG_EMERG, upstream);
    upstream->cookie.data = ngx_pnalloc(cf->pool, upstream->cookie.len);
    return upstream->cookie.data ? NGX_OK : NGX_ERROR;
}

/*
 * homing key_file=FILE [key=STRING] [policy=NAME] [policy.PARAMETER=VALUE ...] [OPTION=VALUE ...];
 *
 * Options are the keys of [affinity] in the gateway's configuration, and the parameters of policies those of its [policy].
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
        added->get_handler = variable;
        added->data = i;
    }
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
