/* What fails below the controller's transport: the n-th send, receive or allocation of our own code, once, or all from
 * the n-th on. For programs linked with --wrap of send, recv and the allocations. */
#ifndef PATCHWAVE_TESTS_FAULT_SOCKET_H
#define PATCHWAVE_TESTS_FAULT_SOCKET_H

#include <stdbool.h>

enum fault {
    NOTHING,
    SEND_RESET, /* the connection is gone */
    SEND_HALF,  /* half of it goes out, then the connection is gone */
    SEND_LATER, /* no room just now */
    SEND_BITS,  /* from the n-th on, 7 bytes at a time */
    RECV_RESET,
    RECV_END,
    RECV_BITS,
    NO_MEMORY
};

extern struct fault_nth {
    enum fault fault;
    unsigned at, sends, recvs, allocs; /* how many there were */
    bool watching;                     /* else nothing fails, nothing counts */
    bool hit;
    bool broken; /* that connection sends nothing more */
    int broken_fd;
} nth;

void fault_socket_init(void); /* once: memory asks here */

#endif
