#include "agent/io/sntp.h"

#include "agent/io/os.h"
#include "schema/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sntp_server {
    struct sntp_job *job;
    char name[300]; /* a name of DNS has up to 253 characters */
    struct sockaddr_storage to;
    bool no_server, over, looking;
    uv_getaddrinfo_t lookup;
    uv_udp_t udp;
    uv_timer_t timer;
    uint8_t packet[SNTP_PACKET], nonce[8];
    uint8_t block[512];
    int64_t sent_us;
    unsigned asked, good;
    bool waiting;
    struct sntp_sample best, last; /* last: the last that was not good */
};

struct sntp_job {
    struct sntp_job *next;
    struct sntp *sntp;
    uint32_t query;
    int64_t error_us, timeout_ms;
    unsigned samples;
    uint32_t n_servers, n_over, open_handles;
    bool silent;
    struct sntp_server servers[];
};

struct sntp {
    uv_loop_t *loop;
    void *owner;
    sntp_done done;
    struct sntp_job *first;
    bool freeing;
};

int sntp_new(uv_loop_t *loop, void *owner, sntp_done done, struct sntp **ret_sntp, struct err *err)
{
    struct sntp *s = calloc(1, sizeof *s);

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "sntp");
    *s = (struct sntp){ .loop = loop, .owner = owner, .done = done };
    *ret_sntp = s;
    return 0;
}

static void job_free(struct sntp_job *j)
{
    struct sntp *s = j->sntp;

    for (struct sntp_job **at = &s->first; *at != NULL; at = &(*at)->next)
        if (*at == j) {
            *at = j->next;
            break;
        }
    free(j);
    if (s->freeing && s->first == NULL)
        free(s);
}

static void write_server(struct json_writer *w, const struct sntp_server *v)
{
    const struct sntp_sample *s = v->good > 0 ? &v->best : &v->last;

    jw_object(w, NULL);
    jw_str(w, "server", v->name);
    jw_bool(w, "ok", v->good > 0);
    jw_str(w, "why", v->good > 0 ? NULL : s->why);
    jw_int(w, "samples", v->good);
    if (v->good > 0) {
        jw_int(w, "offset_us", s->offset_us);
        jw_int(w, "delay_us", s->delay_us);
    } else {
        jw_null(w, "offset_us");
        jw_null(w, "delay_us");
    }
    jw_int(w, "stratum", s->stratum);
    jw_int(w, "leap", s->leap);
    jw_str(w, "ref_id", s->ref_id);
    jw_object_end(w);
}

static void report(struct sntp_job *j)
{
    struct buf text = BUF_INIT;
    struct json_writer w;
    struct err why = { 0 };

    jw_init(&w, &text);
    jw_object(&w, NULL);
    jw_array(&w, "servers");
    for (uint32_t i = 0; i < j->n_servers; i++)
        write_server(&w, &j->servers[i]);
    jw_array_end(&w);
    jw_object_end(&w);
    if (text.failed)
        err_set(&why, ERR_NOMEM, "sntp");
    if (!j->silent)
        j->sntp->done(j->sntp->owner, j->query, text.failed ? "" : buf_text(&text),
                      text.failed ? &why : NULL);
    buf_clear(&text);
}

/* One of the job's handles, or a lookup, has come to its end; with the last the job has. */
static void let_go(struct sntp_job *j)
{
    if (--j->open_handles > 0)
        return;
    report(j);
    job_free(j);
}

static void on_closed(uv_handle_t *h)
{
    struct sntp_server *v = h->data;

    let_go(v->job);
}

static void server_over(struct sntp_server *v)
{
    if (v->over)
        return;
    v->over = true;
    if (v->looking) /* one that is being asked already ends by itself */
        (void)uv_cancel((uv_req_t *)&v->lookup);
    uv_close((uv_handle_t *)&v->udp, on_closed);
    uv_close((uv_handle_t *)&v->timer, on_closed);
}

static void ask(struct sntp_server *v);

static void on_timeout(uv_timer_t *t)
{
    struct sntp_server *v = t->data;

    if (v->waiting && v->last.why[0] == '\0')
        memcpy(v->last.why, "timeout", sizeof "timeout");
    ask(v);
}

static void take(struct sntp_server *v, const struct sntp_sample *s)
{
    if (s->why[0] != '\0') {
        v->last = *s;
        if (strcmp(s->why, "wrong_origin") == 0)
            return; /* not an answer to us: the true one may still come */
        v->waiting = false;
        if (strncmp(s->why, "kiss:", 5) == 0)
            server_over(v); /* it asked to be left alone */
        else
            ask(v);
        return;
    }
    v->waiting = false;
    if (v->good == 0 || s->delay_us < v->best.delay_us)
        v->best = *s;
    v->good++;
    ask(v);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct sntp_server *v = h->data;

    (void)suggested;
    *ret = uv_buf_init((char *)v->block, sizeof v->block);
}

static void on_reply(uv_udp_t *udp, ssize_t n, const uv_buf_t *b, const struct sockaddr *from, unsigned flags)
{
    struct sntp_server *v = udp->data;
    int64_t now_us = os_wall_us() + v->job->error_us;
    struct sntp_sample s;

    (void)b;
    (void)flags;
    if (n < 0 || from == NULL || !v->waiting || v->over)
        return;
    sntp_reply_read(v->block, (size_t)n, v->nonce, v->sent_us, now_us, &s);
    take(v, &s);
}

static void ask(struct sntp_server *v)
{
    uv_buf_t b = uv_buf_init((char *)v->packet, sizeof v->packet);

    v->waiting = false;
    if (v->over)
        return;
    if (v->asked >= v->job->samples || v->no_server || os_random(v->nonce, sizeof v->nonce, NULL) != 0) {
        server_over(v);
        return;
    }
    v->asked++;
    v->waiting = true;
    sntp_request_write(v->packet, v->nonce);
    v->sent_us = os_wall_us() + v->job->error_us;
    (void)uv_udp_try_send(&v->udp, &b, 1, NULL); /* what cannot be sent is not answered: timeout */
    uv_timer_start(&v->timer, on_timeout, (uint64_t)v->job->timeout_ms, 0);
}

/* "dc1.example:123", "10.0.0.7:123", "10.0.0.7", "[fd00::7]:123": host and port. */
static bool split_name(const char *text, char host[sizeof((struct sntp_server *)0)->name], long *ret_port)
{
    const char *end = text[0] == '[' ? strchr(text, ']') : strchr(text, ':');
    const char *from = text[0] == '[' ? text + 1 : text;
    size_t n = end == NULL ? strlen(from) : (size_t)(end - from);
    const char *colon = end == NULL ? NULL : strchr(end, ':');

    *ret_port = colon == NULL ? 123 : strtol(colon + 1, NULL, 10);
    if (n == 0 || n >= sizeof((struct sntp_server *)0)->name || *ret_port < 1 || *ret_port > 65535)
        return false;
    memcpy(host, from, n);
    host[n] = '\0';
    return true;
}

static void give_up(struct sntp_server *v, const char *why)
{
    snprintf(v->last.why, sizeof v->last.why, "%s", why);
    v->no_server = true;
}

/* The first question comes from the loop. */
static void connect_server(struct sntp_server *v)
{
    if (uv_udp_connect(&v->udp, (struct sockaddr *)&v->to) != 0 ||
        uv_udp_recv_start(&v->udp, on_alloc, on_reply) != 0)
        give_up(v, "bad_address");
    uv_timer_start(&v->timer, on_timeout, 0, 0);
}

static void on_lookup(uv_getaddrinfo_t *rq, int status, struct addrinfo *found)
{
    struct sntp_server *v = rq->data;

    v->looking = false;
    if (!v->over && status == 0 && found != NULL && found->ai_addrlen <= sizeof v->to) {
        memcpy(&v->to, found->ai_addr, found->ai_addrlen);
        connect_server(v);
    } else if (!v->over) {
        give_up(v, "no_address");
        uv_timer_start(&v->timer, on_timeout, 0, 0);
    }
    uv_freeaddrinfo(found);
    let_go(v->job);
}

/* A domain member's time source is a name: of its addresses the first of IPv4 is asked. */
static void look_up(struct sntp_server *v, const char *host, long port)
{
    const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_DGRAM };
    char service[8];

    snprintf(service, sizeof service, "%ld", port);
    v->lookup.data = v;
    if (uv_getaddrinfo(v->job->sntp->loop, &v->lookup, on_lookup, host, service, &hints) == 0) {
        v->job->open_handles++;
        v->looking = true;
        return;
    }
    give_up(v, "no_address");
    uv_timer_start(&v->timer, on_timeout, 0, 0);
}

static void server_begin(struct sntp_job *j, struct sntp_server *v, const char *name)
{
    char host[sizeof v->name];
    long port = 0;

    v->job = j;
    snprintf(v->name, sizeof v->name, "%s", name);
    uv_udp_init(j->sntp->loop, &v->udp);
    uv_timer_init(j->sntp->loop, &v->timer);
    v->udp.data = v->timer.data = v;
    j->open_handles += 2;
    if (!split_name(v->name, host, &port)) {
        give_up(v, "bad_address");
        uv_timer_start(&v->timer, on_timeout, 0, 0);
    } else if (uv_ip4_addr(host, (int)port, (struct sockaddr_in *)&v->to) == 0 ||
               uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)&v->to) == 0) {
        connect_server(v);
    } else {
        look_up(v, host, port);
    }
}

void sntp_query(struct sntp *s, const char *args, int64_t error_ms, uint32_t query)
{
    struct json_doc *d = NULL;
    const json *servers = NULL;
    struct sntp_job *j = NULL;
    struct sntp_server *v;
    struct err why = { 0 };

    if (json_parse("args", args, strlen(args), &d, &why) == 0) {
        servers = json_get(json_root(d), "servers");
        j = calloc(1, sizeof *j + json_count(servers) * sizeof j->servers[0]);
    }
    if (j == NULL)
        abort(); /* out of memory; the next start folds the journal */
    j->sntp = s;
    j->next = s->first;
    s->first = j;
    j->query = query;
    j->error_us = error_ms * 1000;
    j->samples = (unsigned)json_get_int(json_root(d), "samples", 4);
    j->timeout_ms = json_get_int(json_root(d), "timeout_ms", 1000);
    j->n_servers = json_count(servers);
    v = j->servers;
    for (const json *name = json_first(servers); name != NULL; name = json_next(name))
        server_begin(j, v++, json_str(name, ""));
    json_free(d);
}

void sntp_free(struct sntp *s)
{
    if (s == NULL)
        return;
    s->freeing = true;
    if (s->first == NULL) {
        free(s);
        return;
    }
    for (struct sntp_job *j = s->first; j != NULL; j = j->next) {
        j->silent = true;
        for (uint32_t i = 0; i < j->n_servers; i++)
            server_over(&j->servers[i]);
    }
}
