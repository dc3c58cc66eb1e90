/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the agent wants to know from rtnetlink: the router's own addresses
 * (FA-8) and links coming, going and changing index.
 *
 * I/O through libmnl; must not know what it is for.
 */
#ifndef TURNOUT_FAD_NETLINK_IO_H
#define TURNOUT_FAD_NETLINK_IO_H

#include <systemd/sd-event.h>

#include "lib/addr.h"

struct netlink;

struct netlink_handler {
	/* Own unicast addresses; all present ones are reported during netlink_open(),
	 * and again (idempotent) after the kernel's queue overflowed. */
	void (*address)(void *ctx, const struct addr *a, bool present);
	/* A link by name; present false: it went.  ethernet: has an Ethernet header. */
	void (*link)(void *ctx, const char *name, uint32_t ifindex, bool present, bool up, bool ethernet);
};

int netlink_open(struct netlink **n, sd_event *loop, const struct netlink_handler *handler, void *ctx);
void netlink_close(struct netlink *n);

#endif
