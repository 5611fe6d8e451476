/* Does the controller understand what the driver answers? Reads lines
 * "WORD<TAB>ANSWER" on standard input and says ok, or why not, for each. */
#include "orchestrator/core/facts.h"

#include "schema/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

union facts {
    struct node_facts node;
    struct vms_seen vms;
    struct cluster_view cluster;
    struct storage_view storage;
    struct verify_facts verify;
    struct empty_facts empty;
    struct removability_facts removability;
    struct backup_facts backup;
    struct heartbeat_facts heartbeat;
};

#define READ(WORD, FUNCTION, MEMBER)                                                                     \
    static int read_##MEMBER(const struct json_doc *d, const json *v, struct arena *a, union facts *ret, \
                             struct err *err)                                                            \
    {                                                                                                    \
        return FUNCTION(d, v, a, &ret->MEMBER, err);                                                     \
    }
#define READS(X)                                             \
    X("facts", facts_read_node, node)                        \
    X("vms", facts_read_vms, vms)                            \
    X("cluster_health", facts_read_cluster, cluster)         \
    X("storage_health", facts_read_storage, storage)         \
    X("verify", facts_read_verify, verify)                   \
    X("check_empty", facts_read_empty, empty)                \
    X("removability", facts_read_removability, removability) \
    X("backup_agent", facts_read_backup, backup)             \
    X("vm_heartbeat", facts_read_heartbeat, heartbeat)
READS(READ)

#define ROW(WORD, FUNCTION, MEMBER) { WORD, read_##MEMBER },
static const struct {
    const char *word;
    int (*read)(const struct json_doc *d, const json *v, struct arena *a, union facts *ret, struct err *err);
} readers[] = { READS(ROW) };

static int read_one(const char *word, const char *text, struct err *err)
{
    struct json_doc *doc = NULL;
    struct arena arena = { 0 };
    union facts facts;
    int rc = json_parse(word, text, strlen(text), &doc, err);

    for (size_t i = 0; rc == 0 && i < sizeof readers / sizeof readers[0]; i++)
        if (strcmp(readers[i].word, word) == 0)
            rc = readers[i].read(doc, json_get(json_root(doc), "result"), &arena, &facts, err);
    arena_clear(&arena);
    json_free(doc);
    return rc;
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    int bad = 0;

    while (getline(&line, &size, stdin) > 0) {
        char *text = strchr(line, '\t');
        struct err err = { 0 };
        if (text == NULL)
            continue;
        *text++ = 0;
        text[strcspn(text, "\n")] = 0;
        if (read_one(line, text, &err) == 0) {
            printf("%s: ok\n", line);
        } else {
            printf("%s\n", err.text);
            bad = 1;
        }
    }
    free(line);
    return bad;
}
