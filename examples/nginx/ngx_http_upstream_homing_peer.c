/*
 * One request: the pick, the connection to its peer, and the outcome.
 *
 * Built on nginx's round robin peers, as nginx's own methods are: their accounting stays, and the balancer picks from
 * the peers that max_fails, max_conns, down and backup leave.
 */

#include "ngx_http_upstream_homing.h"

#define BITS  (8 * sizeof(uintptr_t))

typedef struct {
    ngx_http_upstream_rr_peer_data_t rrp;   /* first: nginx's functions cast this struct to it */
    upstream_t *upstream;
    ngx_http_request_t *request;
    homing_request ask;
    homing_handle lease;
    uint32_t index;
    int32_t decision;                       /* -1: none yet */
    ngx_table_elt_t *set_cookie;
    unsigned backup:1;                      /* no primary peer is left */
    unsigned lookup:1;                      /* the peer does not have the resource: another is asked */
} ctx_t;

/* Picks from the peers that nginx considers available. */
static int32_t pick(ctx_t *ctx, homing_pick_result *result, size_t *cookie_len)
{
    upstream_t *upstream = ctx->upstream;
    ngx_http_upstream_rr_peers_t *peers = ctx->rrp.peers;
    ngx_http_upstream_rr_peer_t *peer;
    ngx_uint_t i = 0, index = ctx->backup ? upstream->primaries : 0;

    ngx_memzero(upstream->eligible, ctx->ask.eligible_len);
    for (peer = peers->peer; peer; peer = peer->next, i++, index++) {
        /* A single peer is always available, as everywhere in nginx. */
        if (!peer->down
            && !(ctx->rrp.tried[i / BITS] & (uintptr_t) 1 << i % BITS)
            && !(peer->max_conns && peer->conns >= peer->max_conns)
            && !(peer->max_fails && peer->fails >= peer->max_fails && !peers->single
                 && ngx_time() - peer->checked <= peer->fail_timeout))
            upstream->eligible[index / 8] |= 1 << index % 8;
    }

    ngx_memzero(result, sizeof(*result));
    result->size = sizeof(*result);
    ctx->ask.now_ms = homing_now();
    return homing_pick(upstream->balancer, &ctx->ask, result, NULL, 0, NULL, upstream->cookie.data,
                       upstream->cookie.len, cookie_len);
}

/* Adds a Set-Cookie line to the response, or replaces the one that was added; with a length of 0 removes it. */
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
        ngx_memzero(line, sizeof(*line));   /* since nginx 1.23 it also has a member next */
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
        if (status != HOMING_ERR_UNAVAILABLE && status != HOMING_ERR_REJECTED) {
            homing_log_error(pc->log, NGX_LOG_ERR, ctx->upstream);
            return NGX_ERROR;
        }
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
    /* A session does not move because its peer lacks one resource. */
    return ctx->lookup ? NGX_OK : set_cookie(ctx, cookie_len);
}

/*
 * nginx judges the peers, by max_fails. To keep the balancer from judging them as well, it gets no failures, and its
 * silence rule is off. It gets responses, for the policies that use latencies.
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
        /* nginx measures in milliseconds, and most responses take less than one. */
        latency_us = u->state->header_time ? u->state->header_time * 1000 : 500;
    } else if (state & NGX_PEER_FAILED && pc->cached && u->state->bytes_received == 0
               && !(c && (c->read->timedout || c->write->timedout)))
    {
        /* The peer had closed an idle connection. That does not mean that it is down, so it stays eligible, and no session
         * moves. This ends: each retry uses up one kept connection. */
        i = ctx->index - (ctx->backup ? ctx->upstream->primaries : 0);
        ctx->rrp.tried[i / BITS] &= ~((uintptr_t) 1 << i % BITS);
        state &= ~NGX_PEER_FAILED;
    }
    (void) homing_finish(ctx->upstream->balancer, ctx->lease, outcome, latency_us, homing_now());

    if (state & NGX_PEER_FAILED)
        (void) set_cookie(ctx, 0);
    ctx->lookup |= (state & NGX_PEER_NEXT) != 0;
    ngx_http_upstream_free_round_robin_peer(pc, &ctx->rrp, state);
}

ngx_int_t homing_init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
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
    /* $http_cookie joins several headers; their representation in headers_in depends on nginx's version. */
    cookie = ngx_http_get_indexed_variable(r, main->http_cookie);
    if (cookie && !cookie->not_found) {
        ctx->ask.cookie = cookie->data;
        ctx->ask.cookie_len = ngx_min(cookie->len, HOMING_INPUT_MAX);
    }
    return NGX_OK;
}

ngx_int_t homing_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t is_upstream)
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
