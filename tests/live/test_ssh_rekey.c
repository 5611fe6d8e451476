/* Apart from the other tests because libssh2 1.10 loses the host key's few bytes
 * at each rekeying, which a leak check would report as ours. */
#include "tests/live/ssh_world.h"

/* Keys are exchanged anew every megabyte by this server: traffic both ways goes on. */
static void test_rekeying_in_full_traffic(void **state)
{
    struct ssh_world *w = *state;
    struct sshd_bed d;
    struct ssh_target t;
    struct seen_link l;
    struct seen_exec x;
    struct err err;
    static char data[(size_t)3 << 20];

    sshd_start(&w->bed, &d, &(struct sshd_setup){ .command = NULL, .more = "RekeyLimit 1M" });
    t = ssh_world_target(w, &d);
    seen_link_open(w->pool, &l, &t);
    ssh_world_until(w, seen_link_up, &l);
    for (int i = 0; i < 4; i++) {
        seen_exec_start(&l, &x, "cat");
        check_ok(ssh_exec_send(x.exec, data, sizeof data, &err), &err);
        ssh_exec_eof(x.exec);
        ssh_world_until(w, seen_exec_ended, &x);
        if (x.why.code != ERR_OK)
            fail_msg("%s", x.why.text);
        assert_int_equal(x.got, sizeof data);
    }
    ssh_link_close(l.link);
    sshd_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rekeying_in_full_traffic, ssh_world_begin, ssh_world_end),
    };

    return cmocka_run_group_tests(tests, ssh_world_open, ssh_world_close);
}
