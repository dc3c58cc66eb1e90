/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two keys of a balanced flow; see keys.h.  Must not know of messages.
 */
#include "smd/keys.h"

#include <string.h>

bool keys_masqueraded(const struct smd_conf *conf, const struct group *g, const struct flow_key *forward)
{
	if (!group_translates(g))
		return false;
	for (size_t i = 0; i < g->backend_count; i++)
		if (!memcmp(g->backends[i].key.addr, forward->src, sizeof(forward->src)))
			return true;
	for (size_t i = 0; i < conf->masquerade.count; i++)
		if (smd_config_in_prefix(&((const struct conf_prefix *)conf->masquerade.items)[i], forward->family,
					 forward->src))
			return true;
	return false;
}

struct flow_key keys_reverse(const struct flow_key *forward, const struct backend *b, bool masqueraded, uint16_t port)
{
	struct flow_key k = flow_key_reverse(forward);

	if (!group_translates(b->group))
		return k;
	memcpy(k.src, b->key.addr, sizeof(k.src));
	k.sport = b->key.port;
	if (masqueraded) {
		memcpy(k.dst, forward->dst, sizeof(k.dst));
		k.dport = port;
	}
	return k;
}

struct flow_key keys_forward(const struct flow_key *reverse, const struct service_key *vip)
{
	struct flow_key k = flow_key_reverse(reverse);

	memcpy(k.dst, vip->addr, sizeof(k.dst));
	k.dport = vip->port;
	return k;
}
