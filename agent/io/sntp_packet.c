#include "agent/io/sntp.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define NTP_TO_UNIX 2208988800u /* seconds from 1900 to 1970 */

void sntp_request_write(uint8_t out[SNTP_PACKET], const uint8_t nonce[8])
{
    memset(out, 0, SNTP_PACKET);
    out[0] = 4 << 3 | 3; /* version 4, client */
    memcpy(out + 40, nonce,
           8); /* a nonce for the transmit time: the reply must bring it back, and tells nobody our clock */
}

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Microseconds since 1970; a first half without the top bit is of the era after 2036. */
static int64_t read_time_us(const uint8_t *at)
{
    uint32_t seconds = read_u32(at), fraction = read_u32(at + 4);
    int64_t s = (int64_t)seconds - NTP_TO_UNIX + (seconds & 0x80000000u ? 0 : (int64_t)1 << 32);

    return s * 1000000 + (int64_t)((uint64_t)fraction * 1000000 >> 32);
}

static void read_ref_id(const uint8_t *p, struct sntp_sample *s)
{
    if (s->stratum > 1) {
        snprintf(s->ref_id, sizeof s->ref_id, "%u.%u.%u.%u", p[12], p[13], p[14], p[15]);
        return;
    }
    for (int i = 0; i < 4 && p[12 + i] != 0; i++)
        s->ref_id[i] = isalnum(p[12 + i]) ? (char)p[12 + i] : '?';
}

static void refuse(struct sntp_sample *s, const char *why, const char *detail)
{
    snprintf(s->why, sizeof s->why, "%s%.4s", why, detail);
}

void sntp_reply_read(const uint8_t *packet, size_t len, const uint8_t nonce[8], int64_t t1_us, int64_t t4_us,
                     struct sntp_sample *ret)
{
    int64_t t2, t3;

    *ret = (struct sntp_sample){ 0 };
    if (len < SNTP_PACKET || (packet[0] & 7) != 4) {
        refuse(ret, "bad_reply", "");
        return;
    }
    ret->leap = packet[0] >> 6;
    ret->stratum = packet[1];
    read_ref_id(packet, ret);
    if (memcmp(packet + 24, nonce, 8) != 0) {
        refuse(ret, "wrong_origin", "");
        return;
    }
    if (ret->stratum == 0) {
        refuse(ret, "kiss:", ret->ref_id);
        return;
    }
    if (ret->leap == 3 || ret->stratum > 15) {
        refuse(ret, "unsynchronised", "");
        return;
    }
    t2 = read_time_us(packet + 32);
    t3 = read_time_us(packet + 40);
    if (read_u32(packet + 40) == 0 || t3 < t2) {
        refuse(ret, "bad_reply", "");
        return;
    }
    ret->offset_us = ((t2 - t1_us) + (t3 - t4_us)) / 2;
    ret->delay_us = (t4_us - t1_us) - (t3 - t2);
}
