/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The punt port's veth pair: made or taken over, and set up so that the
 * kernel routes what comes in at its end and answers nothing itself.
 *
 * I/O through rtnetlink and /proc/sys; must not know of packets.  FA-10.
 */
#ifndef TURNOUT_FAD_PORT_LINK_IO_H
#define TURNOUT_FAD_PORT_LINK_IO_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/* PREFIX0, the kernel's end, and PREFIX1, the agent's. */
struct port_link {
	char kernel_name[IFNAMSIZ], agent_name[IFNAMSIZ];
	uint32_t kernel_ifindex, agent_ifindex;
};

/* Make the pair, or take over the one that a former agent left.  0 or an enum exitcode after one clear log line. */
int port_link_open(struct port_link *l, const char *prefix);
/* Bring both ends up, again if need be.  0 or a negative errno. */
int port_link_up(const struct port_link *l);
int port_link_remove(const struct port_link *l);

#endif
