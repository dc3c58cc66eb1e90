/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is decided about a flow, and how it is told: matches, notices and
 * refreshes in, fixed updates out (SM-2, SM-3, SM-5 to SM-7, SM-9, SM-12, FIX-9).
 *
 * Must not know how wildcards are announced or servers checked.
 */
#include <netinet/in.h>
#include <string.h>

#include "smd/decide_priv.h"

#define STRANGE_TTL_S  10u   /* a flow of no service here, left unchanged */
#define EXPIRY_SLACK_S 2u    /* an agent may hold an affinity so much longer (FIX-5) */
#define FIRST_CHECK_MS 500u  /* after the start a server not yet checked is not chosen */
#define HANDSHAKE_MS   1000u /* after the start a handshake may be one that was decided before */
#define SWEEP_FLOWS    2048u /* looked at in a tick */
#define PORT_TRIES     64u   /* of a masqueraded client */
#define FIRST_PORT     1024u
#define PORT_STEP      9973u

static bool is_own(const struct manager *m, const struct flow_key *k)
{
	struct addr to = addr_make(k->family, k->dst);

	for (size_t i = 0; i < m->own_count; i++)
		if (addr_equal(&m->own[i], &to))
			return true;
	return false;
}

/*
 * For so long nobody but this manager, in this incarnation, has decided about its flows.  One that comes before it does
 * so until its wildcards expire; one behind it does not while this one is there, and then nobody else knows its flows.
 */
static uint64_t alone_ms(const struct manager *m, uint64_t now_ms)
{
	uint64_t since_ms = m->started_ms;

	if (m->better_until_ms > since_ms)
		since_ms = m->better_until_ms;
	if (m->worse_until_ms > since_ms && m->worse_until_ms <= now_ms)
		since_ms = m->worse_until_ms;
	return now_ms > since_ms ? now_ms - since_ms : 0;
}

/* Agents may hold what another incarnation of this manager decided, or another manager. */
static bool young(const struct manager *m, const struct group *g, uint64_t now_ms)
{
	return alone_ms(m, now_ms) < (uint64_t)(g->ttl_s + EXPIRY_SLACK_S) * 1000;
}

/* ---- answering ---- */

/* Longer than any agent holds it: nothing of it is used again before then (SM-5). */
static void keep(struct manager *m, struct flow *f, uint64_t now_ms)
{
	uint64_t held_ms = f->held_ms > now_ms ? f->held_ms : now_ms;

	flows_set_expiry(m->flows, f,
			 held_ms + (f->closed_ms ? backend_of(m, f)->group->conf->sticky : m->conf->flow_ttl));
}

/* An agent holds it, or is about to. */
static void note_held(struct manager *m, struct flow *f, uint64_t now_ms)
{
	uint64_t held_ms = now_ms + (uint64_t)(backend_of(m, f)->group->ttl_s + EXPIRY_SLACK_S) * 1000;

	if (f->held_ms < held_ms)
		f->held_ms = held_ms;
	keep(m, f, now_ms);
}

/* Tell what is known of the flow, and remember who knows of it. */
static void tell(struct manager *m, const struct question *q, struct flow *f)
{
	const struct group *g = backend_of(m, f)->group;

	if (f->kind == FLOW_BALANCED && precedence_of(q, g) != g->conf->precedence) {
		/* Another service's wildcard asked: its affinity must not translate, this one's will. */
		manager_count(m, MANAGER_OTHER_PRECEDENCE);
		tell_unchanged(m, q, g->ttl_s, precedence_of(q, g));
		return;
	}
	flow_note_agent(f, q->agent->number);
	if (f->kind == FLOW_BALANCED)
		tell_flow(m, q, f);
	else
		tell_unchanged(m, q, g->ttl_s, precedence_of(q, g));
}

/* The same, and put the end of the flow off. */
static void answer(struct manager *m, const struct question *q, struct flow *f)
{
	note_held(m, f, q->now_ms);
	tell(m, q, f);
}

/* For so long an agent may hold it, without that its end is put off. */
static uint32_t left_s(const struct flow *f, uint64_t now_ms)
{
	uint64_t left = f->held_ms > now_ms ? (f->held_ms - now_ms) / 1000 : 0;

	return left > EXPIRY_SLACK_S ? (uint32_t)(left - EXPIRY_SLACK_S) : 0;
}

/* ---- forgetting (SM-6) ---- */

void decide_gone(void *ctx, struct flow *f)
{
	struct manager *m = ctx;
	struct vip *v = f->kind == FLOW_BALANCED ? services_vip(m->services, &f->forward) : NULL;
	struct backend *b = backend_of(m, f);

	if (!v)
		return;
	v->flows--;
	b->flows--;
	if (!f->closed_ms)
		backend_connections(b, -1);
	if (b->removed && !b->flows)
		announce_removed(m, b);
}

void decide_withdraw(struct manager *m, const struct flow *f)
{
	struct agent *a;
	uint32_t i = 0;

	if (flow_at_many_agents(f)) {
		while ((a = agents_next(m->agents, &i)))
			tell_deletion(m, a, f);
	} else {
		for (; i < f->agent_count; i++) {
			a = agents_number(m->agents, f->agents[i]);
			if (a)
				tell_deletion(m, a, f);
		}
	}
}

void decide_forget(struct manager *m, struct flow *f)
{
	decide_withdraw(m, f);
	decide_gone(m, f);
	flows_remove(m->flows, f);
}

/* ---- the ends of connections (SM-5, SM-7) ---- */

/* It goes on, or another one begins with the same addresses and ports. */
static void reopen(struct manager *m, struct flow *f, uint64_t now_ms)
{
	f->seen &= (uint8_t) ~(FLOW_FIN_FORWARD | FLOW_FIN_REVERSE | FLOW_RST);
	if (!f->closed_ms) /* a repeated SYN of one that may be answered already */
		return;
	f->seen = 0;
	f->closed_ms = 0;
	f->made_ms = now_ms;
	backend_connections(backend_of(m, f), 1);
	keep(m, f, now_ms);
}

/* These TCP flags were seen in one direction. */
static void note_end(struct manager *m, struct flow *f, bool forward, uint8_t flags, uint64_t now_ms)
{
	/* What a server sends by itself no agent sees: then the client's part counts. */
	const uint8_t both =
		group_translates(backend_of(m, f)->group) ? FLOW_FIN_FORWARD | FLOW_FIN_REVERSE : FLOW_FIN_FORWARD;

	if (flags & PEEK_RST_FLAG)
		f->seen |= FLOW_RST;
	if (flags & PEEK_FIN_FLAG)
		f->seen |= forward ? FLOW_FIN_FORWARD : FLOW_FIN_REVERSE;
	if (f->kind != FLOW_BALANCED || f->closed_ms || (!(f->seen & FLOW_RST) && (f->seen & both) != both))
		return;
	f->closed_ms = now_ms;
	manager_count(m, MANAGER_CLOSED);
	backend_connections(backend_of(m, f), -1);
	keep(m, f, now_ms);
}

/*
 * A known flow is asked about.  What goes on long after its end was not ended:
 * anybody may have sent that RST.
 */
static void note_asked(struct manager *m, const struct question *q, struct flow *f, bool forward)
{
	const struct group *g = backend_of(m, f)->group;
	bool late = f->closed_ms && q->now_ms - f->closed_ms > g->conf->sticky;

	if ((forward && q->sort == PEEK_SYN) || (late && q->sort == PEEK_MIDFLOW && !(q->flags & PEEK_FIN_FLAG)))
		reopen(m, f, q->now_ms);
	note_end(m, f, forward, q->flags, q->now_ms);
}

/* Agents may keep the affinity of what has ended until its TTL, no longer. */
static bool let_go(const struct question *q, const struct flow *f)
{
	return q->refresh && f->closed_ms;
}

/* ---- remembering ---- */

/* NULL: the store is full.  The reverse key must be free. */
static struct flow *remember(struct manager *m, const struct flow_key *forward, const struct flow_key *reverse,
			     struct backend *b, uint64_t now_ms)
{
	struct flow *f = flows_add(m->flows, forward ? FLOW_BALANCED : FLOW_PASS, forward, reverse, now_ms);
	struct vip *v = forward ? services_vip(m->services, forward) : NULL;

	if (!f)
		return NULL;
	f->backend = (uint32_t)(b - m->services->backends);
	f->made_ms = now_ms;
	if (v) {
		v->flows++;
		b->flows++;
		backend_connections(b, 1);
	}
	return f;
}

/* May this key be had?  What only seemed to be a flow makes way. */
static bool make_way(struct manager *m, struct flow *in_the_way)
{
	if (!in_the_way)
		return true;
	if (in_the_way->firm)
		return false;
	decide_forget(m, in_the_way);
	return true;
}

/* The forward key that a memo of this kind speaks of, when it came with this key. */
static struct flow_key remembered_forward(const struct memo *memo, const struct flow_key *key)
{
	struct service_key vip = {.port = memo->vip_port};
	struct flow_key forward = *key;

	memcpy(vip.addr, memo->vip.b, sizeof(vip.addr));
	if (!memcmp(key->dst, vip.addr, sizeof(vip.addr)) && key->dport == vip.port)
		return forward;
	forward = keys_forward(key, &vip);
	if (memo->kind == MEMO_MASQUERADE) {
		memcpy(forward.src, memo->client.b, sizeof(forward.src));
		forward.sport = memo->client_port;
	}
	return forward;
}

/* What the agent returned says that this flow was decided: the decision, if it still makes sense. */
static struct backend *read_decision(struct manager *m, const struct question *q, struct flow_key *forward,
				     struct flow_key *reverse)
{
	bool dispatched = q->memo.kind == MEMO_DISPATCH, masqueraded = q->memo.kind == MEMO_MASQUERADE;
	struct backend *b;
	struct vip *v;

	if ((q->memo.kind != MEMO_NAT && !dispatched && !masqueraded) || q->memo.vip.family != q->key->family)
		return NULL;
	*forward = remembered_forward(&q->memo, q->key);
	v = services_vip(m->services, forward);
	b = v ? group_backend(m->services, v->group, &q->memo.server, q->memo.server_port) : NULL;
	if (!b || group_translates(b->group) == dispatched)
		return NULL;
	*reverse = keys_reverse(forward, b, masqueraded, q->memo.port);
	if (memcmp(q->key, forward, sizeof(*forward)) == 0 || memcmp(q->key, reverse, sizeof(*reverse)) == 0)
		return b;
	return NULL;
}

/* New flows of its service would go elsewhere, and could. */
static bool is_left(const struct backend *b)
{
	return backend_lost(b) && balancer_usable(b->group->balancer);
}

/* Flows that only seem to be may be in the way: then there is room for another.  False: nothing was changed. */
static bool replace(struct manager *m, const struct flow_key *forward, const struct flow_key *reverse, struct flow *f)
{
	struct flow *same_forward = flows_by_forward(m->flows, forward);
	struct flow *same_reverse = flows_by_reverse(m->flows, reverse);

	if ((same_forward && same_forward->firm) || (same_reverse && same_reverse->firm))
		return false;
	if (f)
		decide_forget(m, f);
	if (same_forward && same_forward != f)
		decide_forget(m, same_forward);
	if (same_reverse && same_reverse != f && same_reverse != same_forward)
		decide_forget(m, same_reverse);
	return true;
}

/*
 * Compare what we know of the flow with what the agent holds.  An agent holds
 * what a manager decided; that beats a guess of ours, but not a decision.  Nor
 * that the server is down, where the flow can go elsewhere: a connection
 * cannot, and goes on if the check is wrong.
 */
static struct flow *learn(struct manager *m, const struct question *q, struct flow *f)
{
	struct flow_key forward, reverse;
	struct backend *b = read_decision(m, q, &forward, &reverse);
	struct flow *learnt;

	if (!b)
		return f;
	if (f && f->kind == FLOW_BALANCED && backend_of(m, f) == b && flow_is_forward(f, &forward)) {
		f->firm = true;
		return f;
	}
	if ((f && f->firm) || (q->key->proto != IPPROTO_TCP && is_left(b)) || !replace(m, &forward, &reverse, f))
		return f;
	learnt = remember(m, &forward, &reverse, b, q->now_ms);
	if (learnt) {
		learnt->firm = true;
		manager_count(m, MANAGER_LEARNT);
	}
	return learnt;
}

/* ---- forward: client to VIP ---- */

struct fit {
	struct manager *m;
	const struct flow_key *key;
	const struct group *group;
	bool masqueraded;
	uint16_t port; /* what the servers see, if so */
};

/* Not where the reverse key is taken, or would be taken for that of a client. */
static bool fits(void *ctx, uint16_t server)
{
	const struct fit *c = ctx;
	struct flow_key reverse = keys_reverse(c->key, &c->group->backends[server], c->masqueraded, c->port);
	const struct flow *f = flows_by_reverse(c->m->flows, &reverse);

	return (!f || (f->kind == FLOW_PASS && !f->firm)) &&
	       !(c->masqueraded && services_vip(c->m->services, &reverse));
}

/* A server, and at which port it sees a client that it must not see. */
static uint16_t choose(struct fit *c)
{
	uint16_t chosen = balancer_choose(c->group->balancer, c->key, fits, c);

	/* All masqueraded clients share one address: they get in each other's way more than others do. */
	for (unsigned i = 1; chosen == BALANCER_UNFIT && c->masqueraded && i <= PORT_TRIES; i++) {
		c->port = (uint16_t)(FIRST_PORT + (c->key->sport + i * PORT_STEP) % (UINT16_MAX + 1 - FIRST_PORT));
		chosen = balancer_choose(c->group->balancer, c->key, fits, c);
	}
	return chosen;
}

static struct flow *no_flow(struct manager *m, const struct question *q, const struct group *g,
			    enum manager_counter why)
{
	uint32_t missed;

	manager_count(m, why);
	if (why == MANAGER_FLOWS_FULL && log_allowed(&m->log, q->now_ms, 1, &missed))
		log_warning("flow store full: new flows are dropped; raise limits.flows (%u)", m->conf->limits.flows);
	if (why != MANAGER_POSTPONED && !q->refresh)
		tell_drop(m, q, g, why == MANAGER_NO_SERVER && g->conf->when_empty == WHEN_EMPTY_REJECT);
	return NULL;
}

/* Choose a server.  NULL: there is none to be had; that was answered. */
static struct flow *decide(struct manager *m, const struct question *q, struct vip *v)
{
	struct group *g = v->group;
	struct fit ctx = {m, q->key, g, keys_masqueraded(m->conf, g, q->key), q->key->sport};
	struct flow_key reverse;
	struct backend *b;
	struct flow *f;
	uint16_t chosen;

	/* Turns and loads are not remembered across a restart, but who holds the flow will tell soon. */
	if (g->conf->method != BALANCER_MAGLEV && q->sort == PEEK_MIDFLOW && young(m, g, q->now_ms))
		return no_flow(m, q, g, MANAGER_POSTPONED);
	chosen = choose(&ctx);
	if (chosen == BALANCER_NONE)
		return no_flow(m, q, g, MANAGER_NO_SERVER);
	if (chosen == BALANCER_UNFIT)
		return no_flow(m, q, g, MANAGER_NO_FIT);
	b = &g->backends[chosen];
	if (backend_health(b) == HEALTH_UNKNOWN && q->now_ms - m->started_ms < FIRST_CHECK_MS)
		return no_flow(m, q, g, MANAGER_POSTPONED);
	reverse = keys_reverse(q->key, b, ctx.masqueraded, ctx.port);
	make_way(m, flows_by_reverse(m->flows, &reverse));
	f = remember(m, q->key, &reverse, b, q->now_ms);
	if (!f)
		return no_flow(m, q, g, MANAGER_FLOWS_FULL);
	v->decisions++;
	b->decisions++;
	manager_count(m, MANAGER_DECIDED);
	return f;
}

/* A flow may go elsewhere only where it starts anew: when its server is lost, or it ended and its server takes no more.
 */
static bool stranded(struct manager *m, const struct flow *f, enum peek_sort sort)
{
	const struct backend *b = backend_of(m, f);

	if (sort != PEEK_SYN && sort != PEEK_DATAGRAM)
		return false;
	/* A connection that cannot be had is to be refused, not tried. */
	if (sort == PEEK_SYN && backend_lost(b) && b->group->conf->when_empty == WHEN_EMPTY_REJECT)
		return true;
	return is_left(b) || (f->closed_ms && !backend_takes_new(b) && balancer_usable(b->group->balancer));
}

static void ask_forward(struct manager *m, const struct question *q, struct vip *v)
{
	uint32_t precedence = precedence_of(q, v->group);
	struct flow *f;

	if (precedence != v->group->conf->precedence) { /* a wildcard of before a change */
		manager_count(m, MANAGER_OTHER_PRECEDENCE);
		tell_unchanged(m, q, v->group->ttl_s, precedence);
		return;
	}
	f = learn(m, q, flows_by_forward(m->flows, q->key));
	if (f && stranded(m, f, q->sort)) {
		manager_count(m, MANAGER_MOVED);
		decide_forget(m, f);
		f = NULL;
	}
	if (f)
		manager_count(m, MANAGER_REPEATED);
	else if (q->memo.kind != MEMO_DROP) /* that one expires within a second, and its packets then ask */
		f = decide(m, q, v);
	if (!f || let_go(q, f))
		return;
	note_asked(m, q, f, true);
	f->firm |= q->sort == PEEK_SYN;
	f->seen |= q->sort == PEEK_MIDFLOW ? FLOW_ANSWERED : 0;
	answer(m, q, f);
}

/* ---- reverse: server to client ---- */

/*
 * Could this packet belong to a flow that was decided before this manager
 * started?  What opens a flow does not, or only just after the start: the
 * manager saw the client's part of it first.  What a server sends to somebody
 * who addressed it directly looks the same, so time decides: for as long as
 * the manager before this one would have known the flow, were it still here.
 * What was idle for longer than that is forgotten, balanced or not.
 */
static bool may_be_old(const struct manager *m, const struct question *q, const struct group *g)
{
	switch (q->sort) {
	case PEEK_SYN:
		return false;
	case PEEK_SYN_ACK:
		return alone_ms(m, q->now_ms) < HANDSHAKE_MS;
	case PEEK_RST:
	case PEEK_DATAGRAM:
		return young(m, g, q->now_ms);
	case PEEK_MIDFLOW:
	case PEEK_ERROR:
	case PEEK_FRAGMENT:
		break;
	}
	return alone_ms(m, q->now_ms) < (uint64_t)(g->ttl_s + EXPIRY_SLACK_S) * 1000 + m->conf->flow_ttl;
}

/* A masqueraded flow's: who its client is only the client's packets tell, or what an agent keeps. */
static bool hides_client(const struct group *g, const struct flow_key *reverse)
{
	for (size_t i = 0; i < g->vip_count; i++)
		if (!memcmp(g->vips[i].key.addr, reverse->dst, sizeof(reverse->dst)))
			return true;
	return false;
}

/* Is there a VIP to which this client's packets would have been decided to go to that server? */
static struct flow *derive(struct manager *m, const struct question *q, struct backend *b)
{
	for (size_t i = 0; i < b->group->vip_count; i++) {
		struct vip *v = &b->group->vips[i];
		struct flow_key forward = keys_forward(q->key, &v->key);
		struct flow *f;

		if (b->removed || flows_by_forward(m->flows, &forward) ||
		    keys_masqueraded(m->conf, b->group, &forward) ||
		    balancer_leads_to(b->group->balancer, &forward) != b->index)
			continue;
		f = remember(m, &forward, q->key, b, q->now_ms);
		if (f)
			manager_count(m, MANAGER_DERIVED);
		return f;
	}
	return NULL;
}

/* A reverse packet of no known flow: find its flow, or leave it unchanged (SM-12).  NULL: answered, or postponed. */
static struct flow *find_reverse(struct manager *m, const struct question *q, struct backend *first)
{
	bool wait = false;
	struct flow *f = NULL;

	for (struct backend *b = first; b && !f && !is_own(m, q->key); b = b->next_same) {
		if (hides_client(b->group, q->key)) {
			wait = true;
			continue;
		}
		if (q->memo.kind == MEMO_PASS || !may_be_old(m, q, b->group))
			continue;
		f = derive(m, q, b);
		wait |= b->group->conf->method != BALANCER_MAGLEV && q->sort == PEEK_MIDFLOW &&
			young(m, b->group, q->now_ms);
	}
	if (f)
		return f;
	if (wait) {
		manager_count(m, MANAGER_POSTPONED);
		return NULL;
	}
	manager_count(m, MANAGER_PASSED);
	f = remember(m, NULL, q->key, first, q->now_ms);
	if (!f)
		tell_unchanged(m, q, first->group->ttl_s, precedence_of(q, first->group));
	return f;
}

static void ask_reverse(struct manager *m, const struct question *q, struct backend *first)
{
	struct flow *f = learn(m, q, flows_by_reverse(m->flows, q->key));

	if (f)
		manager_count(m, MANAGER_REPEATED);
	else
		f = find_reverse(m, q, first);
	if (!f || let_go(q, f))
		return;
	note_asked(m, q, f, false);
	f->seen |= FLOW_ANSWERED;
	if (f->kind == FLOW_PASS && (q->sort == PEEK_SYN || q->sort == PEEK_SYN_ACK))
		f->firm = true; /* a connection of its own: its opening was seen */
	answer(m, q, f);
}

/* ---- ICMP errors (KEY-4), later fragments (ACT-10) ---- */

/* Where the key alone leads: how an unknown flow was decided, if it was. */
static bool guess_forward(const struct manager *m, const struct question *q, struct vip *v, struct flow *f,
			  struct backend **b)
{
	uint16_t server = balancer_leads_to(v->group->balancer, q->key);

	if (server == BALANCER_NONE)
		return false;
	*b = &v->group->backends[server];
	f->forward = *q->key;
	f->reverse = keys_reverse(q->key, *b, keys_masqueraded(m->conf, v->group, q->key), q->key->sport);
	return true;
}

static bool guess_reverse(struct manager *m, const struct question *q, struct backend *first, struct flow *f,
			  struct backend **b)
{
	f->reverse = *q->key;
	for (*b = first; *b && !is_own(m, q->key); *b = (*b)->next_same) {
		struct group *g = (*b)->group;

		for (size_t i = 0; i < g->vip_count && !(*b)->removed && may_be_old(m, q, g); i++) {
			f->forward = keys_forward(q->key, &g->vips[i].key);
			if (!flows_by_forward(m->flows, &f->forward) && !hides_client(g, q->key) &&
			    !keys_masqueraded(m->conf, g, &f->forward) &&
			    balancer_leads_to(g->balancer, &f->forward) == (*b)->index)
				return true;
		}
	}
	return false;
}

/*
 * An error is about a packet of the flow's other direction, a later fragment
 * about nothing at all.  They say nothing of the flow's life, and anybody may
 * have sent them: they put no flow's end off, and of one that is not known nothing
 * is kept, here or at the agent.
 */
static void ask_aside(struct manager *m, struct question *q, struct vip *v, struct backend *first)
{
	struct flow *f = v ? flows_by_forward(m->flows, q->key) : flows_by_reverse(m->flows, q->key);
	struct flow guess = {.kind = FLOW_BALANCED};
	struct group *g = v ? v->group : first->group;
	struct backend *b;

	if (f) {
		manager_count(m, MANAGER_REPEATED);
		q->most_ttl_s = left_s(f, q->now_ms);
		tell(m, q, f);
		return;
	}
	q->most_ttl_s = 0;
	if ((v ? guess_forward(m, q, v, &guess, &b) : guess_reverse(m, q, first, &guess, &b)) &&
	    precedence_of(q, b->group) == b->group->conf->precedence) {
		guess.backend = (uint32_t)(b - m->services->backends);
		tell_flow(m, q, &guess);
		return;
	}
	manager_count(m, MANAGER_PASSED);
	tell_unchanged(m, q, 0, precedence_of(q, g));
}

/* ---- questions and notices ---- */

/* A match without a packet: something that was asked for by set_watch(). */
static void notice(struct manager *m, const struct question *q, bool forward)
{
	uint16_t reasons = q->msg->identifier.reasons;
	struct flow *f = learn(m, q, forward ? flows_by_forward(m->flows, q->key) : flows_by_reverse(m->flows, q->key));
	uint8_t flags = (uint8_t)((reasons & WIRE_INTEREST_FIN ? PEEK_FIN_FLAG : 0) |
				  (reasons & WIRE_INTEREST_RST ? PEEK_RST_FLAG : 0));

	if (!f || f->kind != FLOW_BALANCED) {
		manager_count(m, MANAGER_NOTICE);
		return;
	}
	manager_count(m, MANAGER_NOTICES);
	if (!f->held_ms) /* just learnt */
		note_held(m, f, q->now_ms);
	if (reasons & WIRE_INTEREST_SYN && forward && stranded(m, f, PEEK_SYN)) {
		manager_count(m, MANAGER_MOVED); /* its next SYN is asked about */
		decide_forget(m, f);
		return;
	}
	if (reasons & WIRE_INTEREST_SYN && forward)
		reopen(m, f, q->now_ms);
	if (flags)
		note_end(m, f, forward, flags, q->now_ms);
}

void decide_question(struct manager *m, struct agent *a, const struct wire_msg *msg, uint64_t now_ms)
{
	struct question q = {
		.agent = a,
		.msg = msg,
		.key = &msg->identifier.key,
		.refresh = msg->h.type == WIRE_REFRESH,
		.most_ttl_s = UINT32_MAX,
		.now_ms = now_ms,
	};
	struct vip *v = services_vip(m->services, q.key);
	struct backend *b = v ? NULL : services_backend(m->services, q.key);
	size_t len;

	if (wire_has(msg, WIRE_SEG_SM_DATA))
		memo_read(msg->sm_data.data, msg->sm_data.len, &q.memo);
	if (!q.refresh && !wire_has(msg, WIRE_SEG_IP_PACKET)) {
		notice(m, &q, v != NULL);
		return;
	}
	/* A refresh is in mid-flow: an empty packet is. */
	len = wire_has(msg, WIRE_SEG_IP_PACKET) ? msg->packet.len : 0;
	q.sort = peek_packet(msg->packet.data, len, q.key->proto);
	q.flags = peek_flags(msg->packet.data, len, q.key->proto);
	if ((v || b) && (q.sort == PEEK_ERROR || q.sort == PEEK_FRAGMENT)) {
		ask_aside(m, &q, v, b);
	} else if (v) {
		ask_forward(m, &q, v);
	} else if (b) {
		ask_reverse(m, &q, b);
	} else {
		/* A wildcard of before a change of configuration; it expires by itself. */
		manager_count(m, MANAGER_NOT_OURS);
		if (!q.refresh)
			tell_unchanged(m, &q, STRANGE_TTL_S, q.memo.precedence);
	}
}

/*
 * It ended, or its server never answered, or there is no such thing as a connection: its next packet may go elsewhere.
 * Whether a server answers that is dispatched to is not seen: the client's repeated SYN says that it does not.
 */
static bool movable(struct manager *m, const struct flow *f)
{
	bool answered = f->seen & FLOW_ANSWERED || !group_translates(backend_of(m, f)->group);

	if (f->kind != FLOW_BALANCED || (!f->closed_ms && answered && f->forward.proto == IPPROTO_TCP))
		return false;
	return stranded(m, f, PEEK_SYN);
}

bool decide_sweep(struct manager *m)
{
	struct flow *f;

	for (unsigned n = 0; n < SWEEP_FLOWS; n++) {
		f = flows_next(m->flows, &m->sweep_slot);
		if (!f)
			return false;
		if (movable(m, f)) {
			manager_count(m, MANAGER_MOVED);
			decide_forget(m, f);
		}
	}
	return true;
}
