/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How decisions are said to agents: fixed updates (SM-3, SM-7, FIX-2, FIX-8, SVC-10).
 *
 * Must not know how they are come by.
 */
#include <netinet/in.h>
#include <string.h>

#include "smd/decide_priv.h"

#define DROP_TTL_S 1u /* a flow that nothing can serve: the client's next attempt asks again */

static void start_fixed(const struct manager *m, struct wire_msg *msg, const struct flow_key *key, uint32_t ttl_s,
			uint32_t precedence)
{
	wire_start(msg, WIRE_FIXED_UPDATE);
	msg->fixed.key = *key;
	msg->fixed.ttl = ttl_s;
	wire_set(msg, WIRE_SEG_FIXED, true);
	msg->precedence = (struct wire_precedence){.lower_first = true, .value = precedence};
	wire_set(msg, WIRE_SEG_PRECEDENCE, true);
	if (m->conf->backup) {
		msg->backup = m->conf->backup;
		wire_set(msg, WIRE_SEG_BACKUP, true);
	}
}

/* Send the answer, with what the question brought along. */
static void respond(struct manager *m, const struct question *q, struct memo *said, struct wire_msg *msg)
{
	uint8_t memo[MEMO_MAX];

	said->precedence = msg->precedence.value;
	msg->sm_data = (struct wire_blob){memo, (uint16_t)memo_write(said, memo)};
	wire_set(msg, WIRE_SEG_SM_DATA, false);
	if (wire_has(q->msg, WIRE_SEG_FA_DATA)) {
		msg->fa_data = q->msg->fa_data;
		wire_set(msg, WIRE_SEG_FA_DATA, false);
	}
	if (wire_has(q->msg, WIRE_SEG_IP_PACKET)) {
		msg->packet = q->msg->packet;
		wire_set(msg, WIRE_SEG_IP_PACKET, true);
	}
	if (!manager_send(m, q->agent, msg))
		return;
	manager_count(m, MANAGER_ANSWERS);
	q->agent->fixed++;
}

/* An agent without room keeps nothing of us for a while; its packets go on all the same. */
static uint32_t ttl_for(const struct question *q, uint32_t ttl_s)
{
	if (!q->refresh && !agent_has_room(q->agent, q->now_ms))
		return 0;
	return ttl_s < q->most_ttl_s ? ttl_s : q->most_ttl_s;
}

void tell_unchanged(struct manager *m, const struct question *q, uint32_t ttl_s, uint32_t precedence)
{
	struct memo said = {.kind = MEMO_PASS};
	struct wire_msg msg;

	start_fixed(m, &msg, q->key, ttl_for(q, ttl_s), precedence);
	respond(m, q, &said, &msg);
}

void tell_drop(struct manager *m, const struct question *q, const struct group *g, bool reject)
{
	struct memo said = {.kind = MEMO_DROP};
	struct wire_msg msg;

	start_fixed(m, &msg, q->key, ttl_for(q, DROP_TTL_S), g->conf->precedence);
	msg.fixed.flags = WIRE_FLAG_DISPATCH; /* to nowhere (FIX-3) */
	if (reject && !(agent_cannot(q->agent) & wire_bit(WIRE_SEG_REJECT))) {
		msg.reject = WIRE_REJECT_UNREACHABLE;
		wire_set(&msg, WIRE_SEG_REJECT, true);
	}
	respond(m, q, &said, &msg);
}

/* ---- balanced flows ---- */

/* Ports of 0 stay what they are. */
static void nat_source(struct wire_nat *nat, const struct addr *addr, uint16_t port)
{
	nat->set |= WIRE_NAT_SRC | (port ? WIRE_NAT_SPORT : 0);
	nat->src = *addr;
	nat->sport = port;
}

static void nat_destination(struct wire_nat *nat, const struct addr *addr, uint16_t port)
{
	nat->set |= WIRE_NAT_DST | (port ? WIRE_NAT_DPORT : 0);
	nat->dst = *addr;
	nat->dport = port;
}

/* The translation of one direction; of a masqueraded flow that is both ends of it. */
static void set_nat(struct wire_msg *msg, const struct flow *f, const struct backend *b, bool forward)
{
	struct addr vip = addr_make(f->forward.family, f->forward.dst);
	struct addr client = addr_make(f->forward.family, f->forward.src);
	struct addr server = service_key_addr(&b->key);

	msg->nat[0] = (struct wire_nat){0};
	if (forward) {
		nat_destination(&msg->nat[0], &server, b->key.port);
		if (flow_masqueraded(f))
			nat_source(&msg->nat[0], &vip, f->reverse.dport);
	} else {
		nat_source(&msg->nat[0], &vip, f->forward.dport);
		if (flow_masqueraded(f))
			nat_destination(&msg->nat[0], &client, f->forward.sport);
	}
	msg->nat_count = 1;
	wire_set(msg, WIRE_SEG_NAT, true);
}

/* To the server as it is: as the next hop, or through a tunnel. */
static void set_dispatch(struct wire_msg *msg, const struct backend *b)
{
	const struct tunnel_conf *t = &b->group->conf->tunnel;

	msg->fixed.flags = WIRE_FLAG_DISPATCH;
	msg->fixed.forward = service_key_addr(&b->key);
	if (!t->kind)
		return;
	msg->tunnel = (struct wire_tunnel){.kind = (uint8_t)t->kind, .port = t->port};
	msg->tunnel.remote = msg->fixed.forward;
	wire_set(msg, WIRE_SEG_TUNNEL, true);
}

/*
 * Agents report what ends a connection, without the packet (SM-7).  And, of the client, what begins one: it may use
 * the same port again before the agents have forgotten the last connection.
 */
static void set_watch(struct wire_msg *msg, bool forward)
{
	msg->interest[0].interest = WIRE_INTEREST_FIN | WIRE_INTEREST_RST | (forward ? WIRE_INTEREST_SYN : 0);
	msg->interest_count = 1;
	wire_set(msg, WIRE_SEG_INTEREST, true);
}

static struct memo remember_flow(const struct flow *f, const struct backend *b)
{
	struct memo said = {
		.kind = MEMO_NAT,
		.vip = addr_make(f->forward.family, f->forward.dst),
		.vip_port = f->forward.dport,
		.server = service_key_addr(&b->key),
		.server_port = b->key.port,
	};

	if (!group_translates(b->group)) {
		said.kind = MEMO_DISPATCH;
	} else if (flow_masqueraded(f)) {
		said.kind = MEMO_MASQUERADE;
		said.client = addr_make(f->forward.family, f->forward.src);
		said.client_port = f->forward.sport;
		said.port = f->reverse.dport;
	}
	return said;
}

void tell_flow(struct manager *m, const struct question *q, const struct flow *f)
{
	const struct backend *b = backend_of(m, f);
	struct memo said = remember_flow(f, b);
	bool forward = flow_is_forward(f, q->key);
	struct wire_msg msg;

	if (agent_cannot(q->agent) & announce_needs(b->group->conf)) {
		manager_count(m, MANAGER_UNABLE);
		tell_drop(m, q, b->group, false);
		return;
	}
	start_fixed(m, &msg, q->key, ttl_for(q, b->group->ttl_s), b->group->conf->precedence);
	if (group_translates(b->group))
		set_nat(&msg, f, b, forward);
	else
		set_dispatch(&msg, b);
	if (f->forward.proto == IPPROTO_TCP)
		set_watch(&msg, forward);
	respond(m, q, &said, &msg);
}

/* ---- deleting (SM-6) ---- */

static void delete_at(struct manager *m, struct agent *a, const struct flow_key *key, uint32_t precedence)
{
	struct wire_msg msg;

	start_fixed(m, &msg, key, 0, precedence);
	if (manager_send(m, a, &msg))
		manager_count(m, MANAGER_DELETIONS);
}

void tell_deletion(struct manager *m, struct agent *a, const struct flow *f)
{
	const struct group *g = backend_of(m, f)->group;

	if (f->kind == FLOW_BALANCED) {
		delete_at(m, a, &f->forward, g->conf->precedence);
		if (group_translates(g))
			delete_at(m, a, &f->reverse, g->conf->precedence);
		return;
	}
	/* Left unchanged at the precedence of each service that has this server. */
	for (const struct backend *b = services_backend(m->services, &f->reverse); b; b = b->next_same)
		delete_at(m, a, &f->reverse, b->group->conf->precedence);
}
