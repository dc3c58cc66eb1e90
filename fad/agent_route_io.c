/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the engine asks about the kernel's routes, remembered for a second, so
 * that a flow of large packets asks netlink once.
 *
 * Must not know what the answers are for.
 */
#include "fad/agent.h"
#include "lib/daemon.h"
#include "lib/hash.h"

#define REMEMBERED_MS 1000

static struct agent_route *place(struct agent *a, const struct addr *to)
{
	return &a->routes[hash_bytes(a->hash_key, to, sizeof(*to)) % AGENT_ROUTES];
}

bool agent_route(void *ctx, const struct addr *to, struct engine_route *out)
{
	struct agent_route *r = place(ctx, to);
	uint64_t now_ms = daemon_now_ms();

	if (!r->asked_ms || now_ms - r->asked_ms >= REMEMBERED_MS || !addr_equal(&r->to, to)) {
		struct route_way way;

		*r = (struct agent_route){.asked_ms = now_ms, .to = *to, .found = route_ask_way(to, &way)};
		r->route = (struct engine_route){.mtu = way.mtu, .source = way.source};
	}
	*out = r->route;
	return r->found;
}

uint32_t agent_least_mtu(void *ctx)
{
	return mtu_least(((const struct agent *)ctx)->mtu, daemon_now_ms());
}
