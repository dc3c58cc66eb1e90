/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two keys of a balanced flow: what its client sends to the VIP, and what
 * the server sends in answer, as agents see them.
 *
 *   translated    client to VIP       server to client
 *   masqueraded   client to VIP       server to VIP, at a port that stands for the client
 *   dispatched    client to VIP       VIP to client: the server's own, and seen by no agent of ours
 *
 * Pure; must not know of messages.
 */
#ifndef TURNOUT_SMD_KEYS_H
#define TURNOUT_SMD_KEYS_H

#include "smd/flows.h"
#include "smd/services.h"

/*
 * Must the servers of this group not see this client?  Because it is one of
 * them, or near them: their answers would not pass an agent, or they would
 * talk to themselves (FA-10).
 */
bool keys_masqueraded(const struct smd_conf *conf, const struct group *g, const struct flow_key *forward);

/* What that server answers with; port: instead of the client's, when it is masqueraded. */
struct flow_key keys_reverse(const struct flow_key *forward, const struct backend *b, bool masqueraded, uint16_t port);
/* The key of what this client sends to a VIP, from what a server sends back to it; not of masqueraded ones. */
struct flow_key keys_forward(const struct flow_key *reverse, const struct service_key *vip);

static inline bool flow_is_forward(const struct flow *f, const struct flow_key *k)
{
	return f->kind == FLOW_BALANCED && !memcmp(&f->forward, k, sizeof(*k));
}
static inline bool flow_masqueraded(const struct flow *f)
{
	return memcmp(f->reverse.dst, f->forward.src, sizeof(f->reverse.dst)) != 0;
}

#endif
