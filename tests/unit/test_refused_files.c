/* Files that are well-formed and say what cannot be: each is refused with the
 * sentence that names it. */
#include "orchestrator/core/inventory.h"
#include "orchestrator/core/rollout.h"

#include "tests/lib/check.h"

#include <string.h>

#define SHA "0000000000000000000000000000000000000000000000000000000000000000"
#define PATCH(more)                                                                         \
    "\"patch\":{\"kb\":\"KB1\",\"file\":\"a.msu\",\"sha256\":\"" SHA "\",\"size_bytes\":1," \
    "\"target\":\"26100.2\"" more "}"
#define ROLLOUT(patch, more) "{\"version\":1,\"name\":\"r\"," patch ",\"waves\":[1]" more "}"
#define CHECKPOINT(file, sha) "{\"file\":\"" file "\",\"sha256\":\"" sha "\",\"size_bytes\":1}"
#define CONSENT(vm) \
    "{\"vm\":\"" vm "\",\"person\":\"p\",\"ticket\":\"t\",\"expires\":\"2030-01-01T00:00:00Z\"}"
#define VM1 "00000000-0000-4000-8000-000000000001"
#define VM2 "00000000-0000-4000-8000-000000000002"
#define INVENTORY(nodes, vms)                                                                       \
    "{\"version\":1,\"name\":\"t\",\"clusters\":[{\"id\":\"k\",\"storage\":\"shared\",\"witness\":" \
    "\"disk\"},{\"id\":\"z\",\"storage\":\"shared\",\"witness\":\"none\"}],\"nodes\":[" nodes       \
    "],\"vms\":[" vms "]}"
#define NODE(id, cluster, reserve)                                                                     \
    "{\"id\":\"" id "\",\"cluster\":\"" cluster "\",\"memory_mib\":100,\"host_reserve_mib\":" #reserve \
    ",\"build\":\"1.1\"}"
#define NODES NODE("a", "k", 0) "," NODE("y", "z", 0)
#define VM(id, more) "{\"id\":\"" id "\",\"node\":\"a\",\"memory\":{\"assigned_mib\":1}" more "}"

static const struct {
    const char *text, *why; /* NULL: it is good */
} rollouts[] = {
    { ROLLOUT(PATCH(""), ",\"gates\":[]"), NULL },
    { "[]", "a rollout must be an object" },
    { ROLLOUT("\"patch\":{\"kb\":\"KB1\",\"file\":\"a.msu\",\"sha256\":"
              "\"X000000000000000000000000000000000000000000000000000000000000000\",\"size_bytes\":1,"
              "\"target\":\"26100.2\"}",
              ",\"gates\":[]"),
      "must be 64 hex digits in lower case" },
    { ROLLOUT(PATCH(",\"checkpoints\":[" CHECKPOINT("b.msu", SHA) "]"), ",\"gates\":[]"), NULL },
    { ROLLOUT(PATCH(",\"checkpoints\":[" CHECKPOINT("a.msu", SHA) "]"), ",\"gates\":[]"),
      "is named like the target" },
    { ROLLOUT(PATCH(",\"tool\":\"wusa\",\"checkpoints\":[" CHECKPOINT("b.msu", SHA) "]"), ",\"gates\":[]"),
      "need dism: wusa takes one package" },
    { ROLLOUT(PATCH(",\"tool\":\"wusa\""), ",\"gates\":[]"), NULL },
    { ROLLOUT(PATCH(""), ",\"gates\":[{\"type\":\"backup_agent\",\"interval\":\"999ms\"}]"),
      "must be at least 1s" },
    { ROLLOUT(PATCH(""), ",\"gates\":[{\"type\":\"backup_agent\",\"interval\":\"1s\"}]"), NULL },
    { ROLLOUT(PATCH(""), ",\"gates\":[],\"consents\":[" CONSENT(VM1) "," CONSENT(VM2) "]"), NULL },
    { ROLLOUT(PATCH(""), ",\"gates\":[],\"consents\":[" CONSENT(VM1) "," CONSENT(VM1) "]"),
      "has two consents for one VM" },
    { ROLLOUT(
          PATCH(""),
          ",\"gates\":[],\"windows\":[{\"from\":\"2030-01-01T00:00:00Z\",\"to\":\"2030-01-01T00:00:00Z\"}]"),
      "must end after it begins" },
};

static const struct {
    const char *text, *why;
} inventories[] = {
    { INVENTORY(NODES, VM(VM1, "")), NULL },
    { "7", "an inventory must be an object" },
    { INVENTORY(NODE("a", "k", 100), ""), NULL },
    { INVENTORY(NODE("a", "k", 101), ""), "is more than the node's memory" },
    { INVENTORY(NODE("a", "q", 0), ""), "names a cluster that is not in this inventory" },
    { INVENTORY(NODES, VM(VM1, ",\"possible_owners\":[\"a\"]")), NULL },
    { INVENTORY(NODES, VM(VM1, ",\"possible_owners\":[\"q\"]")), "`q` is not a node of the VM's cluster" },
    { INVENTORY(NODES, VM(VM1, ",\"possible_owners\":[\"y\"]")), "`y` is not a node of the VM's cluster" },
    { INVENTORY(NODES, VM(VM1, ",\"sla\":\"gold\"")), "names a class that is not among `sla_classes`" },
};

static void check_why(const char *text, int rc, const struct err *err, const char *why)
{
    if ((rc == 0) != (why == NULL) || (rc != 0 && (rc != ERR_INVALID || strstr(err->text, why) == NULL)))
        fail_msg("%s\n%s", text, rc == 0 ? "was taken" : err->text);
}

static void test_rollouts(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(rollouts); i++) {
        struct rollout *r = NULL;
        struct json_doc *doc;
        struct err err;
        int rc;

        check_ok(json_parse("r", rollouts[i].text, strlen(rollouts[i].text), &doc, &err), &err);
        rc = rollout_read(doc, &r, &err);
        check_why(rollouts[i].text, rc, &err, rollouts[i].why);
        if (rc == 0)
            rollout_free(r);
        json_free(doc);
    }
}

static void test_inventories(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TABLE_LEN(inventories); i++) {
        struct inventory *inv = NULL;
        struct json_doc *doc;
        struct err err;
        int rc;

        check_ok(json_parse("i", inventories[i].text, strlen(inventories[i].text), &doc, &err), &err);
        rc = inventory_read(doc, &inv, &err);
        check_why(inventories[i].text, rc, &err, inventories[i].why);
        if (rc == 0)
            inventory_free(inv);
        json_free(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rollouts), cmocka_unit_test(test_inventories) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
