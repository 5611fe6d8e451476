/* Stands where powershell.exe does in agent/drivers/hyperv's manifest, for agents under Wine: each line is a request that names the
 * script of its own action, goes to the lab's world through a bridge (`bridge.conf` beside the scripts: address and port),
 * and its answer comes back as a line, after what stood before the request's object. Anything else is an error and a non-zero exit code, as it would be there. */
#include "schema/buf.h"
#include "schema/codec.h"
#include "schema/json.h"

#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <winsock2.h>

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "powershell stand-in: %s: %s\n", what, why);
    return 1;
}

/* The next line of standard input; false at its end. */
static bool read_line(struct buf *line)
{
    char part[8192];

    buf_clear(line);
    while (line->len <= WIRE_LINE_MAX && fgets(part, sizeof part, stdin) != NULL) {
        buf_str(line, part);
        if (part[strlen(part) - 1] == '\n')
            return !line->failed;
    }
    return line->len > 0 && !line->failed;
}

/* The script that the arguments name, or NULL: -File is the last option, as PowerShell has it. */
static const char *script_of(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "-File") == 0)
            return argv[i + 1];
    return NULL;
}

static bool is_script_of(const char *script, const json *request)
{
    char wanted[128];

    snprintf(wanted, sizeof wanted, "%s.ps1", json_get_str(request, "action", ""));
    return script != NULL && strcmp(script, wanted) == 0 && _access(script, 4) == 0;
}

static SOCKET connect_bridge(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    char address[64];
    unsigned port = 0;
    FILE *f = fopen("bridge.conf", "r");
    SOCKET s = INVALID_SOCKET;

    if (f != NULL && fscanf(f, "%63s %u", address, &port) == 2) {
        at.sin_addr.s_addr = inet_addr(address);
        at.sin_port = htons((u_short)port);
        s = socket(AF_INET, SOCK_STREAM, 0);
    }
    if (f != NULL)
        fclose(f);
    if (s != INVALID_SOCKET && connect(s, (const struct sockaddr *)&at, sizeof at) != 0) {
        closesocket(s);
        s = INVALID_SOCKET;
    }
    return s;
}

static int send_all(SOCKET s, const struct buf *b)
{
    size_t at = 0;

    while (at < b->len) {
        int n = send(s, b->data + at, (int)(b->len - at), 0);
        if (n <= 0)
            return -1;
        at += (size_t)n;
    }
    return 0;
}

static int print_answer(const struct rpc_message *msg)
{
    struct buf out = BUF_INIT;

    if (msg->kind == RPC_ERROR)
        return fail("the world", msg->error_text);
    if (json_get_bool(json_get(msg->result, "result"), "copy", false))
        return fail("the world", "this driver copies no files");
    json_write(&out, msg->result, true);
    puts(buf_text(&out));
    buf_clear(&out);
    return fflush(stdout) == 0 ? 0 : fail("the answer", "nobody reads it");
}

/* One line of the world; -1 while the answer is still owed. */
static int take_line(const char *line, size_t len)
{
    struct rpc_message msg;
    struct err err;
    int rc = -1;

    if (rpc_parse(line, len, &msg, &err) != 0)
        return fail("the world", err.text);
    if (msg.kind == RPC_NOTIFICATION)
        fprintf(stderr, "{\"progress\":{\"percent\":%d,\"text\":\"\"}}\n",
                (int)json_get_int(msg.params, "percent", 0));
    else
        rc = print_answer(&msg);
    rpc_clear(&msg);
    return rc;
}

static int await(SOCKET s)
{
    struct line_cutter cut;
    struct err err;
    char part[16384];
    const char *line;
    size_t len;
    int rc = -1, n;

    line_cutter_init(&cut, WIRE_LINE_MAX);
    while (rc < 0 && (n = recv(s, part, sizeof part, 0)) > 0 &&
           line_cutter_feed(&cut, part, (size_t)n, &err) == 0)
        while (rc < 0 && (line = line_cutter_take(&cut, &len)) != NULL)
            rc = take_line(line, len);
    line_cutter_clear(&cut);
    return rc < 0 ? fail("the world", "it hung up") : rc;
}

static int ask_world(const json *request)
{
    struct buf params = BUF_INIT, line = BUF_INIT;
    SOCKET s = connect_bridge();
    int rc;

    if (s == INVALID_SOCKET)
        return fail("bridge.conf", "nobody listens there");
    json_write(&params, request, true);
    rpc_write_request(&line, 1, "driver", buf_text(&params));
    rc = send_all(s, &line) == 0 ? await(s) : fail("the bridge", "it hung up");
    closesocket(s);
    buf_clear(&params);
    buf_clear(&line);
    return rc;
}

static int answer(const char *script, const struct buf *line)
{
    size_t number = strcspn(buf_text(line), "{");
    struct json_doc *doc = NULL;
    struct err err;
    int rc;

    fwrite(line->data, 1, number, stdout);
    if (json_parse("request", buf_text(line) + number, line->len - number, &doc, &err) != 0)
        rc = fail("request", err.text);
    else if (!is_script_of(script, json_root(doc)))
        rc = fail("-File", "not the script of this action, or not there");
    else
        rc = ask_world(json_root(doc));
    json_free(doc);
    return rc;
}

int main(int argc, char **argv)
{
    struct buf line = BUF_INIT;
    WSADATA wsa;
    int rc = 0;

    if (WSAStartup(MAKEWORD(2, 2), &wsa) != 0)
        return fail("start", "no sockets");
    _setmode(0, _O_BINARY);
    while (rc == 0 && read_line(&line))
        rc = answer(script_of(argc, argv), &line);
    buf_clear(&line);
    return rc;
}
