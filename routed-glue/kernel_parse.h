/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel says over rtnetlink, as far as routed-glue looks at it.
 *
 * Pure: messages that kernel_parse_ok() has passed go in.  What is cut off or
 * contradicts itself says nothing.  Must not know of sockets.  ACT-3.
 */
#ifndef TURNOUT_ROUTED_GLUE_KERNEL_PARSE_H
#define TURNOUT_ROUTED_GLUE_KERNEL_PARSE_H

#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>

#include "routed-glue/diff.h"

/* Is there another whole message in the `left` bytes?  (libmnl's own test passes lengths beyond 2 GiB.) */
bool kernel_parse_ok(const struct nlmsghdr *h, int left);

/* A unicast route of the main table. */
struct kernel_route {
	struct route route;
	uint32_t oif; /* 0: none, or several */
	uint8_t protocol;
	bool unicast;
};

/* Of RTM_NEWROUTE or RTM_DELROUTE.  False: not a route of the main table of a family that we have. */
bool kernel_parse_route(const struct nlmsghdr *h, struct kernel_route *out);

/* Our device, as it should be and as it is. */
struct kernel_device {
	const char *name;       /* wanted */
	const uint8_t *address; /* wanted, 4 bytes */
	uint32_t ifindex;
	uint64_t dropped;
	bool up, named, addressed;
};

/* Of RTM_NEWLINK: fills in up, named and dropped. */
void kernel_parse_link(const struct nlmsghdr *h, struct kernel_device *d);
/* Of RTM_NEWADDR: sets addressed when it is the wanted address on the device. */
void kernel_parse_address(const struct nlmsghdr *h, struct kernel_device *d);
/* Of anything the monitor hears: is it about the device with this index? */
bool kernel_parse_concerns(const struct nlmsghdr *h, uint32_t ifindex);

#endif
