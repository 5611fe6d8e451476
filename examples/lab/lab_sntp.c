#include "examples/lab/lab_sntp.h"

#include <string.h>
#include <sys/time.h>

#define UNIX_TO_NTP 2208988800u
#define REQUEST_BYTES 48

static void put32(unsigned char *at, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8)
        at[i] = (unsigned char)v;
}

static void put_now(unsigned char *at)
{
    struct timeval tv;

    gettimeofday(&tv, NULL);
    put32(at, (uint32_t)tv.tv_sec + UNIX_TO_NTP);
    put32(at + 4, (uint32_t)(((uint64_t)tv.tv_usec << 32) / 1000000));
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
    struct lab_sntp *s = h->data;

    (void)size;
    *buf = uv_buf_init(s->in, sizeof s->in);
}

static void on_request(uv_udp_t *h, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from,
                       unsigned flags)
{
    struct lab_sntp *s = h->data;
    uv_buf_t answer = uv_buf_init((char *)s->out, sizeof s->out);

    (void)flags;
    if (n < REQUEST_BYTES || from == NULL || (buf->base[0] & 7) != 3)
        return;
    memset(s->out, 0, sizeof s->out);
    s->out[0] = 4 << 3 | 4; /* version 4, server */
    s->out[1] = 2;          /* stratum */
    s->out[2] = 6;
    s->out[3] = 0xec;
    s->out[7] = 0x20; /* root delay, dispersion: a little */
    s->out[11] = 0x20;
    memcpy(s->out + 12, "LAB", 3);
    put_now(s->out + 16);
    memcpy(s->out + 24, buf->base + 40, 8);
    put_now(s->out + 32);
    put_now(s->out + 40);
    (void)uv_udp_try_send(h, &answer, 1, from);
}

int lab_sntp_start(uv_loop_t *loop, struct lab_sntp *s, const char *address, int port, struct err *err)
{
    struct sockaddr_in at;
    int rc = uv_udp_init(loop, &s->udp);

    s->udp.data = s;
    if (rc == 0)
        rc = uv_ip4_addr(address, port, &at);
    if (rc == 0)
        rc = uv_udp_bind(&s->udp, (const struct sockaddr *)&at, 0);
    if (rc == 0)
        rc = uv_udp_recv_start(&s->udp, on_alloc, on_request);
    return rc == 0 ? 0 : err_set(err, ERR_IO, "time source on %s:%d: %s", address, port, uv_strerror(rc));
}
