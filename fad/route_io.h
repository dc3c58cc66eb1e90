/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking the kernel's FIB where it would send a packet.
 *
 * I/O through libmnl; must not know why somebody asks.
 */
#ifndef TURNOUT_FAD_ROUTE_IO_H
#define TURNOUT_FAD_ROUTE_IO_H

#include <net/if.h>
#include <stdbool.h>

#include "lib/addr.h"

#define ROUTE_MAX_HOPS 8

enum route_kind { ROUTE_UNICAST, ROUTE_LOCAL, ROUTE_OTHER_SCOPE, ROUTE_REFUSED, ROUTE_NONE };

struct route_hop {
	struct addr gateway; /* family 0: the destination is on the link */
	char interface[IF_NAMESIZE];
};

struct route {
	enum route_kind kind; /* other scope: multicast, broadcast; refused: unreachable, prohibit, blackhole */
	struct addr prefix;   /* of the route that matched */
	uint8_t plen;
	uint32_t table;
	uint32_t mtu;                          /* the route's own; 0: its links' */
	struct route_hop hops[ROUTE_MAX_HOPS]; /* the kernel chooses one by a hash of the flow */
	size_t hop_count;                      /* in all; perhaps more than ROUTE_MAX_HOPS */
};

/* 0, or a negative errno: the kernel could not be asked.  No route is an answer. */
int route_ask(const struct addr *to, struct route *r);

/* What goes with the way to an address, for whoever makes packets. */
struct route_way {
	uint32_t mtu; /* largest packet: the route's, else the least of its links' (of the first ROUTE_MAX_HOPS) */
	struct addr source; /* that the kernel would send from; family 0: none */
};

/* False: no unicast route, or the kernel could not be asked. */
bool route_ask_way(const struct addr *to, struct route_way *w);

#endif
