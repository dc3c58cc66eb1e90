/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments on their way to a key (ACT-10): the ports of a datagram are in its
 * first fragment; a later one gets them from it, or waits for it.
 *
 * Must not know what is done with a packet that has its key.
 */
#include <netinet/in.h>
#include <stdlib.h>

#include "fad/engine_priv.h"

const struct fragtab_limits engine_fragment_limits = {
	.datagrams = 4096,
	.packets = 1024,
	.each = 64,
	.bytes = 4 << 20,
	.known_ms = 30000,
	.wait_ms = 1000,
};

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

/* Could anything that applies to this later fragment depend on the ports it does not show? */
static bool ports_matter(const struct engine *e, const struct packet *p)
{
	struct flow_key udp = p->key, tcp = p->key;

	if (has_ports(p->key.proto))
		return wildtab_ports_matter(e->wild, &p->key);
	if (p->key.family != 6 || !packet_is_extension(p->key.proto))
		return false;
	/* Only the first fragment says which it is. */
	udp.proto = IPPROTO_UDP;
	tcp.proto = IPPROTO_TCP;
	return wildtab_ports_matter(e->wild, &udp) || wildtab_ports_matter(e->wild, &tcp);
}

static void lose_all(struct engine *e, enum engine_counter why, struct held_packet *list)
{
	while (list) {
		struct held_packet *next = list->next;

		engine_lose(e, why, &list->p);
		free(list);
		list = next;
	}
}

/* True: it waits, or found no room to. */
static bool wait_for_first(struct engine *e, const struct packet *p, uint64_t now_ms)
{
	struct held_packet *out;

	if (!ports_matter(e, p))
		return false;
	if (fragtab_wait(e->fragments, p, now_ms, &out))
		engine_count(e, ENGINE_FRAGMENTS_WAITED);
	else
		engine_lose(e, ENGINE_DROP_FRAGMENT_NO_ROOM, p);
	lose_all(e, ENGINE_DROP_FRAGMENT_NO_ROOM, out);
	return true;
}

void engine_fragment_key(const struct engine *e, struct packet *p, uint64_t now_ms)
{
	if (p->fragment && !p->first_fragment)
		fragtab_fill(e->fragments, p, now_ms);
}

bool engine_fragment(struct engine *e, struct packet *p, struct held_packet **followers, uint64_t now_ms)
{
	*followers = NULL;
	if (!p->fragment)
		return false;
	if (p->first_fragment) {
		/* Without ports all have the same key anyway, if they show the protocol. */
		if (has_ports(p->key.proto) || p->key.family == 6)
			*followers = fragtab_first(e->fragments, p, now_ms);
		/* Its wildcard may go before its fixed affinity does. */
		if (has_ports(p->key.proto) && fixtab_flow(e->fixed, &p->key))
			tailtab_note(e->tails, &p->key, now_ms);
		return false;
	}
	if (fragtab_fill(e->fragments, p, now_ms)) {
		engine_count(e, ENGINE_FRAGMENTS);
		return false;
	}
	return wait_for_first(e, p, now_ms);
}

void engine_fragment_timeouts(struct engine *e, uint64_t now_ms)
{
	tailtab_expire(e->tails, now_ms);
	lose_all(e, ENGINE_DROP_FRAGMENT_ORPHANED, fragtab_expire(e->fragments, now_ms));
}
