/* All the calls that a proxy in C makes for sticky sessions, without the proxy: two requests of one client, a drain, and
 * the explanation and status that the library gives.
 *
 *     PREFIX=$HOME/.local ../../capi/install
 *     PKG_CONFIG_PATH=$HOME/.local/lib/pkgconfig make run
 */
#include <homing.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a proxy reads from its configuration file. */
static const char configuration[] =
    "[affinity]\n"
    "cookie = \"shop\"\n"
    "max_age = \"12h\"\n"
    "[policy]\n"
    "name = \"least_sessions\"\n"
    "[[upstream]]\n"
    "name = \"app-1\"\n"
    "address = \"10.0.0.1:8080\"\n"
    "[[upstream]]\n"
    "name = \"app-2\"\n"
    "address = \"10.0.0.2:8080\"\n"
    "max_in_flight = 500\n";

static const uint8_t *bytes(const char *text)
{
    return (const uint8_t *)text;
}

/* Ends the program if a call failed, with the text of its error. */
static void check(int32_t status, const char *doing)
{
    uint8_t text[512];
    size_t len = 0;
    if (status >= HOMING_OK)
        return;
    if (homing_last_error(text, sizeof text, &len) != HOMING_OK)
        len = 0;
    fprintf(stderr, "%s: %.*s (%d)\n", doing, (int)len, (const char *)text, (int)status);
    exit(1);
}

/* Serves one request: `cookie` is the value of its Cookie header, and `set_cookie` receives the value of the response's
 * Set-Cookie header, or an empty string. Returns the id of the upstream. */
static uint64_t serve(homing_handle balancer, const char *cookie, char *set_cookie, size_t cap)
{
    static const uint8_t client[4] = {192, 0, 2, 17};
    homing_request request;
    homing_pick_result pick;
    uint8_t name[HOMING_NAME_MAX], decision[32];
    size_t name_len = 0, decision_len = 0, set_cookie_len = 0;

    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.client = client;
    request.client_len = sizeof client;
    request.cookie = bytes(cookie);
    request.cookie_len = strlen(cookie);
    request.flags = HOMING_REQUEST_HTTPS;
    memset(&pick, 0, sizeof pick);
    pick.size = sizeof pick;
    check(homing_pick(balancer, &request, &pick, name, sizeof name, &name_len, (uint8_t *)set_cookie, cap - 1,
                      &set_cookie_len),
          "pick");
    set_cookie[set_cookie_len] = 0;

    /* Here a proxy forwards the request to that upstream, and its response to the client. */

    check(homing_finish(balancer, pick.lease, HOMING_OUTCOME_ANSWERED, 1500, 0), "finish");
    check(homing_decision_name(pick.decision, decision, sizeof decision, &decision_len), "name the decision");
    printf("%.*s, because it is %.*s\n", (int)name_len, (const char *)name, (int)decision_len, (const char *)decision);
    if (set_cookie_len)
        printf("  Set-Cookie: %s\n", set_cookie);
    return pick.id;
}

/* A text that the library gives, in allocated memory. */
static char *text(homing_handle balancer, int32_t (*function)(homing_handle, uint64_t, uint8_t *, size_t, size_t *))
{
    size_t len = 0;
    char *text;
    int32_t status = function(balancer, 0, NULL, 0, &len);
    if (status != HOMING_ERR_BUFFER)
        check(status, "ask for the length");
    /* Room for numbers that grow in the meantime. */
    len += 256;
    text = (char *)malloc(len + 1);
    if (text == NULL)
        exit(1);
    check(function(balancer, 0, (uint8_t *)text, len, &len), "ask for the text");
    text[len] = 0;
    return text;
}

static int32_t explain_a_visit(homing_handle balancer, uint64_t now_ms, uint8_t *buf, size_t cap, size_t *len)
{
    homing_request request;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.now_ms = now_ms;
    return homing_explain(balancer, &request, buf, cap, len);
}

/* Prints the events since the last call. */
static void print_events(homing_handle events)
{
    homing_event event;
    uint8_t line[512];
    size_t len = 0;
    int32_t status;
    memset(&event, 0, sizeof event);
    event.size = sizeof event;
    while ((status = homing_events_next(events, &event, line, sizeof line, &len)) == HOMING_OK)
        printf("event: %.*s\n", (int)len, (const char *)line);
    check(status, "ask for events");
}

int main(void)
{
    homing_handle ring = 0, config = 0, balancer = 0, events = 0;
    char set_cookie[1024], cookie[1024], *answer;
    uint64_t pinned;
    size_t len = 0;

    if (homing_abi_version() != HOMING_ABI_VERSION) {
        fprintf(stderr, "the library is not that of the header\n");
        return 1;
    }
    /* homing_keyring_load() shares the keys with other processes and machines. */
    check(homing_keyring_generate(bytes("shop"), 4, &ring), "make keys");
    check(homing_config_parse(bytes(configuration), sizeof configuration - 1, &config), "read the configuration");
    check(homing_balancer_new(config, ring, &balancer), "make a balancer");
    check(homing_config_free(config), "free the configuration");
    check(homing_keyring_free(ring), "free the keys");
    check(homing_set_cookie_max(balancer, &len), "ask how long a cookie can be");
    if (len >= sizeof set_cookie)
        return 1;
    check(homing_events_new(balancer, &events), "watch");

    printf("a first visit goes to ");
    pinned = serve(balancer, "theme=dark", set_cookie, sizeof set_cookie);

    /* The browser sends back what is before the first semicolon. */
    snprintf(cookie, sizeof cookie, "theme=dark; %.*s", (int)strcspn(set_cookie, ";"), set_cookie);
    printf("the second goes to ");
    if (serve(balancer, cookie, set_cookie, sizeof set_cookie) != pinned)
        return 1;

    /* A cookie that was forged or altered is not accepted. */
    cookie[strlen(cookie) - 1] ^= 1;
    printf("with an altered cookie it goes to ");
    serve(balancer, cookie, set_cookie, sizeof set_cookie);

    /* An operator wants to stop the session's upstream: it takes no new sessions. */
    check(homing_drain(balancer, pinned, HOMING_FOREVER, 0), "drain");
    printf("a new visit then goes to ");
    if (serve(balancer, "", set_cookie, sizeof set_cookie) == pinned)
        return 1;
    check(homing_tick(balancer, 0), "let time pass");
    print_events(events);

    answer = text(balancer, explain_a_visit);
    printf("why a visit would go where it goes:\n%s\n", answer);
    free(answer);
    answer = text(balancer, homing_status_json);
    printf("status: %s\n", answer);
    free(answer);

    check(homing_events_free(events), "free the events");
    check(homing_balancer_free(balancer), "free the balancer");
    return 0;
}
