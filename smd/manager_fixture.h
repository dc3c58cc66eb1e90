/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of the manager: one with a configuration from text, agents that
 * ask it, and what it sent.  Every message goes through the encoder and the
 * decoder, both ways, so that only what can be said on the wire is tested.
 */
#ifndef TURNOUT_SMD_MANAGER_FIXTURE_H
#define TURNOUT_SMD_MANAGER_FIXTURE_H

#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smd/manager.h"
#include "smd/memo.h"

/* Two families; consistent hashing and round-robin; TCP and UDP; a server shared at another precedence. */
static const char CONF[] = "name: sm1\n"
			   "identity: 0x201\n"
			   "control: {address: 10.77.0.11}\n"
			   "wildcard-ttl: 30s\n"
			   "flow-ttl: 300s\n"
			   "services:\n"
			   "  - name: web\n"
			   "    vip: [203.0.113.10, 203.0.113.11, \"2001:db8:113::10\"]\n"
			   "    port: 80\n"
			   "    affinity-ttl: 60s\n"
			   "    servers:\n"
			   "      - {name: web1, address: [10.0.20.11, \"fd00:20::11\"], check-address: 10.77.0.21}\n"
			   "      - {name: web2, address: [10.0.20.12, \"fd00:20::12\"], check-address: 10.77.0.22}\n"
			   "      - {name: web3, address: [10.0.20.13, \"fd00:20::13\"], check-address: 10.77.0.23}\n"
			   "  - name: files\n"
			   "    vip: 203.0.113.10\n"
			   "    port: 8080\n"
			   "    method: round-robin\n"
			   "    servers:\n"
			   "      - {name: web1, address: 10.0.20.11}\n"
			   "      - {name: web2, address: 10.0.20.12}\n"
			   "  - name: dns\n"
			   "    vip: 203.0.113.53\n"
			   "    protocol: udp\n"
			   "    port: 53\n"
			   "    servers:\n"
			   "      - {name: ns1, address: 10.0.20.21, port: 5353}\n"
			   "      - {name: ns2, address: 10.0.20.22, port: 5353}\n"
			   "    check: {type: tcp}\n"
			   "  - name: other\n"
			   "    vip: 203.0.113.99\n"
			   "    port: 80\n"
			   "    precedence: 50\n"
			   "    servers:\n"
			   "      - {name: web1, address: 10.0.20.11}\n"
			   "    check: {type: none}\n";

#define MANAGER_ID 0x201
#define R1         0x101
#define R2         0x102
#define R3         0x103
#define FA_COOKIE  "where the packet came in"
#define MOST_SENT  4096

/* One message that went out. */
struct sent {
	uint64_t to; /* 0: the group */
	uint64_t at_ms;
	uint8_t bytes[2048];
	struct wire_msg m; /* points into bytes */
};

struct fixture {
	struct smd_conf *conf;
	struct manager *manager;
	uint64_t now_ms;
	struct sent *sent;
	size_t count;
	uint64_t sequence;
	bool deaf;         /* sending fails */
	char noticed[256]; /* the last notice: "severity kind subject: text" */
	unsigned notices;
	struct wire_msg called; /* the last one to the agents that the configuration names */
	unsigned calls;
};

static inline bool fixture_store(struct fixture *f, uint64_t to, struct wire_msg *m)
{
	struct sent *s = &f->sent[f->count];
	struct wire_diagnosis why;
	ssize_t n;

	if (f->deaf)
		return false;
	ck_assert_uint_lt(f->count, MOST_SENT);
	m->h.source = MANAGER_ID;
	m->h.incarnation = 7;
	m->h.destination = to;
	m->h.sequence = ++f->sequence;
	n = wire_encode(m, s->bytes, sizeof(s->bytes));
	ck_assert_msg(n > 0, "a %s cannot be encoded", wire_type_name(m->h.type));
	ck_assert_int_eq(wire_decode(s->bytes, (size_t)n, &s->m, &why), WIRE_OK);
	s->to = to;
	s->at_ms = f->now_ms;
	f->count++;
	return true;
}

static inline bool fixture_send(void *ctx, const struct endpoint_peer *to, struct wire_msg *m)
{
	ck_assert_uint_ne(to->identity, 0);
	return fixture_store(ctx, to->identity, m);
}

static inline bool fixture_send_all(void *ctx, struct wire_msg *m)
{
	return fixture_store(ctx, 0, m);
}

static inline bool fixture_send_named(void *ctx, struct wire_msg *m)
{
	struct fixture *f = ctx;

	f->called = *m;
	f->calls++;
	return true;
}

static inline void fixture_hear(void *ctx, const struct manager_notice *n)
{
	struct fixture *f = ctx;

	f->notices++;
	snprintf(f->noticed, sizeof(f->noticed), "%d %s %s: %s", n->severity, n->kind, n->subject, n->text);
}

/* A manager that has just started with the fixture's configuration. */
static inline void fixture_start(struct fixture *f)
{
	static const struct manager_out out = {.send = fixture_send,
					       .send_all = fixture_send_all,
					       .send_named = fixture_send_named,
					       .notice = fixture_hear};
	const uint64_t seed[2] = {1, 2};

	f->manager = manager_new(f->conf, seed, &out, f, f->now_ms);
	ck_assert_ptr_nonnull(f->manager);
}

static inline struct fixture *fixture_new(const char *text)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char errors[1024] = "";

	f->sent = calloc(MOST_SENT, sizeof(*f->sent));
	f->now_ms = 1000000;
	f->conf = calloc(1, sizeof(*f->conf));
	ck_assert_msg(smd_config_load_text("test.yaml", text, f->conf, errors, sizeof(errors)), "%s", errors);
	fixture_start(f);
	return f;
}

static inline void fixture_free(struct fixture *f)
{
	manager_free(f->manager);
	smd_config_free(f->conf);
	free(f->conf);
	free(f->sent);
	free(f);
}

/* Go on with another configuration; NULL, or why not. */
static inline const char *fixture_reload(struct fixture *f, const char *text, char why[256])
{
	char errors[1024] = "";
	struct smd_conf *next = calloc(1, sizeof(*next));

	ck_assert_msg(smd_config_load_text("next.yaml", text, next, errors, sizeof(errors)), "%s", errors);
	if (!manager_reload(f->manager, next, why, 256, f->now_ms)) {
		smd_config_free(next);
		free(next);
		return why;
	}
	smd_config_free(f->conf);
	free(f->conf);
	f->conf = next;
	return NULL;
}

/* Another incarnation, without a memory; `gone_ms` later. */
static inline void fixture_restart(struct fixture *f, uint64_t gone_ms)
{
	manager_free(f->manager);
	f->now_ms += gone_ms;
	f->count = 0;
	fixture_start(f);
}

/* Let time go by, with the ticks that the manager asks for. */
static inline void fixture_run(struct fixture *f, uint64_t ms)
{
	uint64_t end = f->now_ms + ms;

	while (f->now_ms < end) {
		uint64_t next = manager_tick(f->manager, f->now_ms);

		ck_assert_uint_ge(next, 1);
		f->now_ms = f->now_ms + next < end ? f->now_ms + next : end;
	}
	manager_tick(f->manager, f->now_ms);
}

/* Every check's result: good, but for those of the server with this name ("*": of all). */
static inline void fixture_check(struct fixture *f, const char *bad)
{
	const struct services *s = manager_services(f->manager);

	for (size_t i = 0; i < s->check_count; i++) {
		bool good = !bad || bad[0] != '*';

		for (size_t j = 0; j < s->backend_count; j++)
			if (s->backends[j].check == &s->checks[i] && bad && !strcmp(s->backends[j].conf->name, bad))
				good = false;
		for (unsigned n = 0; n < s->checks[i].conf->rise + s->checks[i].conf->fall; n++)
			manager_check_result(f->manager, i, good, good ? "connected" : "refused", f->now_ms);
	}
}

static inline uint64_t fixture_counter(const struct fixture *f, enum manager_counter c)
{
	return manager_counters(f->manager)[c];
}

/* ---- agents ---- */

static inline struct endpoint_peer fixture_peer(uint64_t identity)
{
	struct endpoint_peer p = {.identity = identity, .port = WIRE_PORT};

	addr_parse("10.77.0.1", &p.addr);
	p.addr.b[3] = (uint8_t)identity;
	return p;
}

static inline void fixture_receive(struct fixture *f, uint64_t from, struct wire_msg *m)
{
	struct endpoint_peer peer = fixture_peer(from);
	struct wire_diagnosis why;
	struct wire_msg decoded;
	uint8_t bytes[2048];
	ssize_t n;

	m->h.source = from;
	m->h.incarnation = 3;
	m->h.destination = MANAGER_ID;
	m->h.sequence = ++f->sequence;
	n = wire_encode(m, bytes, sizeof(bytes));
	ck_assert_msg(n > 0, "the test's %s cannot be encoded", wire_type_name(m->h.type));
	ck_assert_int_eq(wire_decode(bytes, (size_t)n, &decoded, &why), WIRE_OK);
	manager_message(f->manager, &peer, &decoded, f->now_ms);
}

/* `abilities` ends with 0. */
static inline void fixture_hello(struct fixture *f, uint64_t from, const char *name, const uint8_t *abilities)
{
	struct wire_msg m;

	wire_start(&m, WIRE_HELLO);
	snprintf(m.identity.name, sizeof(m.identity.name), "%s", name);
	m.identity.addr = fixture_peer(from).addr;
	wire_set(&m, WIRE_SEG_IDENTITY, true);
	for (; *abilities; abilities++)
		m.list.types[m.list.count++] = *abilities;
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	fixture_receive(f, from, &m);
}

/* ---- packets and questions ---- */

#define SYN     0x02
#define SYN_ACK 0x12
#define ACK     0x10
#define RST     0x04
#define FIN     0x01
/* Instead of flags: the packet is an ICMP error that travels with the flow. */
#define ICMP_ERROR 0xff
/* Or a later fragment. */
#define LATER_FRAGMENT 0xfe

static inline struct flow_key fixture_key(uint8_t proto, const char *src, uint16_t sport, const char *dst,
					  uint16_t dport)
{
	struct flow_key k = {.proto = proto, .sport = sport, .dport = dport};
	struct addr a, b;

	ck_assert(addr_parse(src, &a) && addr_parse(dst, &b) && a.family == b.family);
	k.family = a.family;
	memcpy(k.src, a.b, 16);
	memcpy(k.dst, b.b, 16);
	return k;
}

/* A packet of this flow; only what the manager may look at is right.  Returns its length. */
static inline size_t fixture_packet(const struct flow_key *k, uint8_t flags, uint8_t out[128])
{
	size_t ip = k->family == 4 ? 20 : 40, n = addr_len(k->family);
	uint8_t *l4 = out + ip;

	memset(out, 0, 128);
	out[0] = k->family == 4 ? 0x45 : 0x60;
	out[k->family == 4 ? 9 : 6] = flags != ICMP_ERROR ? k->proto : k->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	memcpy(out + (k->family == 4 ? 12 : 8), k->src, n);
	memcpy(out + (k->family == 4 ? 16 : 24), k->dst, n);
	l4[0] = (uint8_t)(k->sport >> 8), l4[1] = (uint8_t)k->sport;
	l4[2] = (uint8_t)(k->dport >> 8), l4[3] = (uint8_t)k->dport;
	l4[12] = 0x50;
	l4[13] = flags;
	if (k->family == 4)
		out[3] = 40;
	else
		out[5] = 20;
	if (flags == LATER_FRAGMENT && k->family == 4)
		out[7] = 20;
	if (flags == LATER_FRAGMENT && k->family == 6) {
		out[40] = out[6];
		out[6] = IPPROTO_FRAGMENT;
		out[43] = 0xa1;
	}
	return ip + 20;
}

/* What an agent returns of a message it was sent. */
static inline void fixture_return(struct wire_msg *m, const struct wire_blob *sm_data)
{
	if (!sm_data || !sm_data->len)
		return;
	m->sm_data = *sm_data;
	wire_set(m, WIRE_SEG_SM_DATA, false);
}

/* An agent asks about a packet.  Returns the answer, NULL for none. */
static inline const struct sent *fixture_ask_with(struct fixture *f, uint64_t from, const struct flow_key *k,
						  uint8_t flags, const struct wire_blob *sm_data)
{
	const struct sent *last;
	uint8_t packet[128];
	struct wire_msg m;
	size_t before = f->count;

	wire_start(&m, WIRE_MATCH_WILDCARD);
	m.identifier = (struct wire_identifier){.key = *k, .reasons = WIRE_INTEREST_ALL};
	wire_set(&m, WIRE_SEG_IDENTIFIER, true);
	fixture_return(&m, sm_data);
	m.fa_data = (struct wire_blob){(const uint8_t *)FA_COOKIE, sizeof(FA_COOKIE)};
	wire_set(&m, WIRE_SEG_FA_DATA, false);
	m.packet = (struct wire_blob){packet, (uint16_t)fixture_packet(k, flags, packet)};
	wire_set(&m, WIRE_SEG_IP_PACKET, true);
	fixture_receive(f, from, &m);
	if (f->count == before)
		return NULL;
	last = &f->sent[f->count - 1];
	ck_assert_uint_eq(last->to, from);
	ck_assert_uint_eq(last->m.h.type, WIRE_FIXED_UPDATE);
	ck_assert_mem_eq(&last->m.fixed.key, k, sizeof(*k));
	ck_assert_uint_eq(last->m.packet.len, m.packet.len); /* FIX-8 */
	ck_assert_mem_eq(last->m.packet.data, packet, m.packet.len);
	ck_assert_uint_eq(last->m.fa_data.len, sizeof(FA_COOKIE)); /* MSG-10 */
	ck_assert_str_eq((const char *)last->m.fa_data.data, FA_COOKIE);
	return last;
}

static inline const struct sent *fixture_ask(struct fixture *f, uint64_t from, const struct flow_key *k, uint8_t flags)
{
	return fixture_ask_with(f, from, k, flags, NULL);
}

/* An agent asks to keep an affinity.  Returns the answer, NULL for none. */
static inline const struct sent *fixture_refresh(struct fixture *f, uint64_t from, const struct flow_key *k,
						 const struct wire_blob *sm_data)
{
	struct wire_msg m;
	size_t before = f->count;

	wire_start(&m, WIRE_REFRESH);
	m.identifier = (struct wire_identifier){.key = *k};
	wire_set(&m, WIRE_SEG_IDENTIFIER, true);
	fixture_return(&m, sm_data);
	fixture_receive(f, from, &m);
	return f->count == before ? NULL : &f->sent[f->count - 1];
}

/* An agent reports that a packet with this in it came by. */
static inline void fixture_notice(struct fixture *f, uint64_t from, const struct flow_key *k, uint16_t reasons,
				  const struct wire_blob *sm_data)
{
	struct wire_msg m;

	wire_start(&m, WIRE_MATCH_FIXED);
	m.identifier = (struct wire_identifier){.key = *k, .reasons = reasons};
	wire_set(&m, WIRE_SEG_IDENTIFIER, true);
	fixture_return(&m, sm_data);
	fixture_receive(f, from, &m);
}

/* An agent refuses a message it was sent. */
static inline void fixture_deny(struct fixture *f, uint64_t from, const struct sent *s, uint16_t code,
				const uint8_t *types)
{
	struct wire_msg m;

	wire_start(&m, WIRE_DENY);
	for (; types && *types; types++)
		m.list.types[m.list.count++] = *types;
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	m.wildcard = s->m.wildcard;
	m.fixed = s->m.fixed;
	m.present |= s->m.present & (wire_bit(WIRE_SEG_WILDCARD) | wire_bit(WIRE_SEG_FIXED));
	m.error.code = code;
	wire_set(&m, WIRE_SEG_ERROR, false);
	fixture_receive(f, from, &m);
}

#define FIXTURE_ACTION 160

static inline const char *fixture_dispatch(const struct sent *s, char buf[FIXTURE_ACTION])
{
	const struct wire_tunnel *t = &s->m.tunnel;
	char where[ADDR_STRLEN];

	if (addr_is_zero(&s->m.fixed.forward))
		return wire_has(&s->m, WIRE_SEG_REJECT) ? "reject" : "drop";
	ck_assert(!s->m.nat_count);
	snprintf(buf, FIXTURE_ACTION, "dispatch %s", addr_print(&s->m.fixed.forward, where));
	if (wire_has(&s->m, WIRE_SEG_TUNNEL))
		snprintf(buf + strlen(buf), FIXTURE_ACTION - strlen(buf), " tunnel %u:%u %s", t->kind, t->port,
			 addr_print(&t->remote, where));
	return buf;
}

/*
 * "dnat 10.0.20.11:80", "snat ...", both, "dispatch 10.0.20.11", "none" or "drop", and checks that belong to any
 * answer.
 */
static inline const char *fixture_action(const struct sent *s, char buf[FIXTURE_ACTION])
{
	const struct wire_nat *n = &s->m.nat[0];
	char where[ENDPOINT_STRLEN], also[ENDPOINT_STRLEN];

	ck_assert(wire_has(&s->m, WIRE_SEG_PRECEDENCE) && s->m.precedence.lower_first);
	if (s->m.fixed.flags & WIRE_FLAG_DISPATCH)
		return fixture_dispatch(s, buf);
	if (!s->m.nat_count)
		return "none";
	ck_assert_uint_eq(s->m.nat_count, 1);
	if (n->set == (WIRE_NAT_DST | WIRE_NAT_DPORT))
		snprintf(buf, FIXTURE_ACTION, "dnat %s", endpoint_print(&n->dst, n->dport, where));
	else if (n->set == (WIRE_NAT_SRC | WIRE_NAT_SPORT))
		snprintf(buf, FIXTURE_ACTION, "snat %s", endpoint_print(&n->src, n->sport, where));
	else if (n->set == (WIRE_NAT_SRC | WIRE_NAT_SPORT | WIRE_NAT_DST | WIRE_NAT_DPORT))
		snprintf(buf, FIXTURE_ACTION, "snat %s, dnat %s", endpoint_print(&n->src, n->sport, where),
			 endpoint_print(&n->dst, n->dport, also));
	else
		snprintf(buf, FIXTURE_ACTION, "set %x", n->set);
	return buf;
}

/* What the server sends back, by the answer to the forward packet. */
static inline struct flow_key fixture_back(const struct flow_key *forward, const struct sent *answer)
{
	struct flow_key k = flow_key_reverse(forward);

	ck_assert_uint_eq(answer->m.nat[0].set, WIRE_NAT_DST | WIRE_NAT_DPORT);
	memcpy(k.src, answer->m.nat[0].dst.b, 16);
	k.sport = answer->m.nat[0].dport;
	return k;
}

#endif
