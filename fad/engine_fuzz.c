/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the engine with sequences of packets, messages, time, failures of the
 * world, and questions on the admin bus.  Whatever comes, in whatever order:
 * what goes out is well formed, limits hold, and at the end everything is taken back.
 *
 * Messages are those of authenticated peers, so that what is inside reaches the
 * engine; the mutator keeps lengths and checksums right.
 */
#include "fad/engine.h"
#include "fad/admin.h"
#include "fad/admin_trace.h"
#include "fad/tap.h"
#include "proto/wire.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/shape_packet.h"
#include "tests/fuzz/shape_protobuf.h"
#include "tests/fuzz/shape_wire.h"

#define HEAD    2   /* bytes that say how the engine is configured */
#define COOKIES 256 /* kept; the last one number stands for the latest */
#define TICK_MS 50

/* A step's operation, modulo their number; tests/fuzz/seeds.py writes the same. */
enum { OP_PACKET, OP_MESSAGE, OP_TIME, OP_FAIL, OP_ADMIN, OPS };

struct cookie_seen {
	uint8_t data[WIRE_MAX_OPAQUE];
	uint16_t len;
};

struct bed {
	struct engine_conf conf;
	struct engine *e;
	struct tap *tap;
	struct engine_tap look;
	struct admin *admin;
	uint64_t now_ms, sequence;
	bool fail_send, fail_forward, fail_flow, fail_route;
	long shapes, keys, flows, prefixes, managers;
	struct cookie_seen cookies[COOKIES];
	size_t cookie_count;
	uint8_t out[WIRE_MAX];
};

/* ---- the world ---- */

static bool on_forward(void *ctx, const struct packet *p, const struct addr *next_hop)
{
	const struct bed *b = ctx;
	struct packet again = {.data = NULL};

	FUZZ_CHECK(p->len > 0 && (!next_hop || next_hop->family));
	/* What is left to the hardware is longer than its header says. */
	FUZZ_CHECK(packet_parse(&again, p->data, p->len) == PACKET_OK && packet_verify(&again) == PACKET_OK);
	FUZZ_CHECK(again.len == p->len);
	return !b->fail_forward;
}

static bool on_route(void *ctx, const struct addr *to, struct engine_route *out)
{
	const struct bed *b = ctx;

	*out = (struct engine_route){.mtu = 1500};
	return !b->fail_route && addr_parse(to->family == 4 ? "10.9.0.254" : "2001:db8:9::fe", &out->source);
}

static uint32_t on_least_mtu(void *ctx)
{
	return ((const struct bed *)ctx)->fail_route ? 0 : 1280;
}

static bool on_refuses(void *ctx, uint32_t ifindex)
{
	(void)ctx;
	return ifindex == 3;
}

static bool on_send(void *ctx, const struct endpoint_peer *to, struct wire_msg *m)
{
	struct bed *b = ctx;
	struct cookie_seen *c = &b->cookies[b->cookie_count % COOKIES];
	struct wire_diagnosis why;
	struct wire_msg again;
	ssize_t len;

	m->h.source = 0xfad;
	m->h.incarnation = 1;
	m->h.destination = to->identity;
	m->h.sequence = ++b->sequence;
	len = wire_encode(m, b->out, sizeof(b->out));
	if (len < 0)
		return false; /* a packet that makes it too long */
	FUZZ_CHECK(wire_decode(b->out, (size_t)len, &again, &why) == WIRE_OK);
	if (b->fail_send)
		return false;
	if (m->h.type != WIRE_DENY && wire_has(m, WIRE_SEG_FA_DATA)) {
		c->len = m->fa_data.len;
		memcpy(c->data, m->fa_data.data, c->len);
		b->cookie_count++;
	}
	return true;
}

static bool on_shape(void *ctx, uint16_t number, const struct classifier_shape *shape)
{
	(void)number;
	((struct bed *)ctx)->shapes += shape ? 1 : -1;
	return true;
}

static bool on_key(void *ctx, const struct classifier_key *key, bool add)
{
	(void)key;
	((struct bed *)ctx)->keys += add ? 1 : -1;
	return true;
}

static bool on_flow(void *ctx, const struct flow_key *key, bool add)
{
	struct bed *b = ctx;

	(void)key;
	if (add && b->fail_flow)
		return false;
	b->flows += add ? 1 : -1;
	return true;
}

static void on_advertise(void *ctx, const struct addr *prefix, uint8_t plen, bool add)
{
	FUZZ_CHECK(plen <= addr_len(prefix->family) * 8);
	((struct bed *)ctx)->prefixes += add ? 1 : -1;
}

static void on_manager(void *ctx, const struct endpoint_peer *peer, bool add)
{
	(void)peer;
	((struct bed *)ctx)->managers += add ? 1 : -1;
}

static void on_news(void *ctx, const struct engine_news *news)
{
	(void)ctx;
	FUZZ_CHECK(news->manager != NULL || news->what == ENGINE_NEWS_DENIED);
}

static const struct engine_out world = {
	.forward = on_forward,
	.route = on_route,
	.least_mtu = on_least_mtu,
	.refuses = on_refuses,
	.send = on_send,
	.shape = on_shape,
	.key = on_key,
	.flow = on_flow,
	.advertise = on_advertise,
	.manager = on_manager,
	.news = on_news,
};

static void on_publish(void *ctx, const struct tap_packet *p)
{
	(void)ctx;
	FUZZ_CHECK(p->len <= p->full);
}

static void on_looked_on(void *ctx, bool now)
{
	struct bed *b = ctx;

	b->look = (struct engine_tap){.packet = tap_packet, .ctx = b->tap};
	engine_look(b->e, now ? &b->look : NULL);
}

static const struct tap_out lookers = {.publish = on_publish, .looked_on = on_looked_on};

/* ---- life ---- */

static void bed_open(struct bed *b, const uint8_t *choice)
{
	bool small = choice[1] & 0x01;

	b->conf = (struct engine_conf){
		.max_fixed = small ? 1 + (choice[1] >> 1 & 3) : 1000,
		.max_wildcards = small ? 1 + (choice[1] >> 3 & 3) : 1000,
		.hold = {.flows = small ? 1 + (choice[1] >> 5 & 1) : 1000,
			 .packets = small ? 1 + (choice[1] >> 6 & 1) : 64,
			 .bytes = small ? 4096 : 16 << 20},
		.punt_rate = choice[0] & 0x01 ? 20 : 0,
		.punt_excess_routed = choice[0] & 0x02,
		.accept_uncovered = choice[0] & 0x04,
		.permit_protected = choice[0] & 0x08,
		.authenticated = !(choice[0] & 0x10),
		.hash_key = {1, 2},
		.cookie_key = {3, 4},
	};
	b->now_ms = 1000000;
	b->e = engine_new(&b->conf, &world, b);
	b->tap = tap_new(&lookers, b);
	b->admin = admin_new();
	FUZZ_CHECK(b->e && b->tap && b->admin);
	engine_tick(b->e, b->now_ms);
	tap_tick(b->tap, b->now_ms);
}

static void bed_close(struct bed *b)
{
	engine_look(b->e, NULL);
	engine_free(b->e);
	tap_free(b->tap);
	admin_free(b->admin);
	FUZZ_CHECK(b->shapes == 0 && b->keys == 0 && b->flows == 0 && b->prefixes == 0);
}

/* ---- steps ---- */

/* As a kernel's vnet header would say it. */
static void offload(struct packet *p, uint8_t how)
{
	bool tcp = p->key.proto == IPPROTO_TCP;

	if (!p->l4 || p->fragment || (!tcp && p->key.proto != IPPROTO_UDP))
		return;
	p->offload.partial = how & 0x04;
	p->offload.csum_start = p->l4;
	p->offload.csum_offset = tcp ? 16 : 6;
	if (!(how & 0x08) || p->offload.partial == 0)
		return;
	p->offload.gso_size = (uint16_t)(1 + (how >> 4) * 100);
	p->offload.gso_type = !tcp ? PACKET_GSO_UDP_L4 : p->key.family == 4 ? PACKET_GSO_TCP4 : PACKET_GSO_TCP6;
}

static void do_packet(struct bed *b, const struct fuzz_step *s)
{
	struct packet p = {.data = NULL};
	enum packet_fault fault;
	uint8_t *data;

	if (s->len < 1)
		return;
	data = malloc(s->len); /* exactly as long, so that the sanitizer sees its end */
	FUZZ_CHECK(data != NULL);
	memcpy(data, s->data + 1, s->len - 1);
	fault = packet_parse(&p, data, s->len - 1);
	if (fault == PACKET_OK)
		fault = packet_verify(&p);
	p.ifindex = 1 + (s->data[0] & 3);
	if (fault == PACKET_OK) {
		offload(&p, s->data[0]);
		engine_packet(b->e, &p, b->now_ms);
	} else {
		engine_malformed(b->e, fault, data, (uint32_t)(s->len - 1));
	}
	free(data);
}

static void do_message(struct bed *b, const struct fuzz_step *s)
{
	struct endpoint_peer from = {.addr = {.family = 4, .b = {10, 9, 0}}, .port = WIRE_PORT};
	struct wire_diagnosis why = {0};
	struct wire_msg m = {0};
	uint8_t *data;

	if (s->len < 2)
		return;
	data = malloc(s->len);
	FUZZ_CHECK(data != NULL);
	memcpy(data, s->data + 2, s->len - 2);
	wire_decode(data, s->len - 2, &m, &why);
	from.identity = m.h.source;
	from.addr.b[3] = s->data[0] & 7;
	if (s->data[1] && b->cookie_count) {
		size_t n = s->data[1] == 0xff ? b->cookie_count - 1 : s->data[1] - 1u;
		const struct cookie_seen *c = &b->cookies[n % COOKIES];

		m.fa_data = (struct wire_blob){c->data, c->len};
	}
	if (why.fault == WIRE_OK)
		engine_message(b->e, &from, &m, b->now_ms);
	else if (why.fault == WIRE_FAULT_REQUIRED)
		engine_undecodable(b->e, &from, &m, &why.unknown);
	free(data);
}

/* Milliseconds; beyond 32 s in steps of 50 of them. */
static void do_time(struct bed *b, const struct fuzz_step *s)
{
	size_t ms = s->len < 2 ? TICK_MS : fuzz_get16(s->data);
	uint64_t end = b->now_ms + (ms < 0x8000 ? ms : (ms - 0x8000) * TICK_MS);

	while (b->now_ms + TICK_MS < end) {
		b->now_ms += b->now_ms + 100000 < end ? 10000 : TICK_MS; /* a long sleep, ticks at its end */
		engine_tick(b->e, b->now_ms);
	}
	b->now_ms = end;
	engine_tick(b->e, end);
	tap_tick(b->tap, end);
}

static void do_fail(struct bed *b, const struct fuzz_step *s)
{
	uint8_t what = s->len ? s->data[0] : 0;

	b->fail_send = what & 1;
	b->fail_forward = what & 2;
	b->fail_flow = what & 4;
	b->fail_route = what & 8;
}

static const char *answer(struct bed *b, const Turnout__Request *r, Turnout__Reply *reply)
{
	const struct admin_interface interface = {"eth0", "up", 1, "ring", 2, 3, 4};
	const uint64_t classifier[CLASSIFIER_COUNTERS] = {0};
	const struct port_counters port = {0};
	struct admin_trace trace;
	struct admin_view v = {.engine = b->e,
			       .now_ms = b->now_ms,
			       .name = "r1",
			       .identity = 1,
			       .incarnation = 1,
			       .addr = {.family = 4, .b = {10, 9, 0, 1}},
			       .interfaces = &interface,
			       .interface_count = 1,
			       .classifier = classifier,
			       .punt_port = &port,
			       .tap = b->tap,
			       .trace = &trace};
	const char *wrong = NULL;

	if (r->what_case == TURNOUT__REQUEST__WHAT_CAPTURE)
		return tap_request(b->tap, r->capture, b->now_ms);
	if (r->what_case == TURNOUT__REQUEST__WHAT_TRACE) {
		memset(&trace, 0, sizeof(trace));
		wrong = admin_trace_parse(r->trace, &trace);
		if (!wrong)
			engine_trace(b->e, &trace.key, false, trace.tcp_flags, trace.data, &trace.engine);
		trace.closed = "";
		trace.route_error = 1;
	}
	return wrong ? wrong : admin_answer(b->admin, &v, r, reply);
}

static void do_admin(struct bed *b, const struct fuzz_step *s)
{
	Turnout__Request *r = turnout__request__unpack(NULL, s->len, s->data);
	Turnout__Reply reply = TURNOUT__REPLY__INIT;

	if (!r)
		return;
	if (!answer(b, r, &reply))
		protobuf_packs(&reply.base);
	admin_release(b->admin);
	turnout__request__free_unpacked(r, NULL);
}

static void look_at_limits(const struct bed *b)
{
	const struct engine_marks *marks = engine_marks(b->e);

	FUZZ_CHECK(marks->fixed <= b->conf.max_fixed && marks->wildcards <= b->conf.max_wildcards);
	FUZZ_CHECK(hold_flows(engine_hold(b->e)) <= b->conf.hold.flows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const ops[OPS])(struct bed *, const struct fuzz_step *) = {
		[OP_PACKET] = do_packet, [OP_MESSAGE] = do_message, [OP_TIME] = do_time,
		[OP_FAIL] = do_fail,     [OP_ADMIN] = do_admin,
	};
	struct bed *b;
	struct fuzz_step s;

	if (size < HEAD)
		return 0;
	b = calloc(1, sizeof(*b));
	FUZZ_CHECK(b != NULL);
	bed_open(b, data);
	data += HEAD;
	size -= HEAD;
	while (fuzz_next(&data, &size, &s)) {
		ops[s.op % OPS](b, &s);
		look_at_limits(b);
	}
	bed_close(b);
	free(b);
	return 0;
}

/* ---- mutations ---- */

static size_t change(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	size_t head = p[0] % OPS == OP_PACKET ? 1 : p[0] % OPS == OP_MESSAGE ? 2 : 0;
	fuzz_change body = p[0] % OPS == OP_PACKET    ? packet_shape
			   : p[0] % OPS == OP_MESSAGE ? wire_shape
			   : p[0] % OPS == OP_ADMIN   ? protobuf_shape
						      : fuzz_any;
	size_t n;

	if (fuzz_below(seed, 32) == 0)
		p[0] = (uint8_t)fuzz_below(seed, OPS);
	if (size < FUZZ_STEP_HEAD + head + 1)
		return fuzz_change_step(p, size, max, fuzz_any, seed);
	if (head && fuzz_below(seed, 8) == 0) {
		p[FUZZ_STEP_HEAD + fuzz_below(seed, (uint32_t)head)] = (uint8_t)fuzz_below(seed, 256);
		return size;
	}
	if (max > FUZZ_STEP_HEAD + 0xf000)
		max = FUZZ_STEP_HEAD + 0xf000;
	if (size > max)
		return size;
	head += FUZZ_STEP_HEAD;
	n = body(p + head, size - head, max - head, seed);
	fuzz_put16(p + 1, head + n - FUZZ_STEP_HEAD);
	return head + n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t chance = fuzz_seed(seed);

	if (size >= HEAD && fuzz_below(&chance, 16) == 0)
		data[fuzz_below(&chance, HEAD)] = (uint8_t)fuzz_below(&chance, 256);
	return fuzz_mutate(data, size, max, HEAD, fuzz_cut_step, change, &chance);
}
