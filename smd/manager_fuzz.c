/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the manager with sequences of agents' messages, results of checks,
 * time, reloads, and questions on the admin bus.  Whatever comes: what it says
 * can be said on the wire, and the stores keep their limits.
 *
 * The first byte chooses the configuration.
 */
#include "proto/wire.h"
#include "smd/admin.h"
#include "smd/manager.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/shape_protobuf.h"
#include "tests/fuzz/shape_wire.h"

#define HEAD   1
#define FLOWS  24
#define AGENTS 3

/* A step's operation, modulo their number; tests/fuzz/seeds.py writes the same. */
enum { OP_MESSAGE, OP_TIME, OP_CHECK, OP_ADMIN, OP_RELOAD, OP_DEAF, OP_WITHDRAW, OPS };

/* Services of each kind: translated, masquerading, direct, in a tunnel; UDP; a server shared; filters. */
#define COMMON                                                                                                         \
	"name: sm1\nidentity: 0x201\ncontrol: {address: 10.77.0.11}\nwildcard-ttl: 30s\nflow-ttl: 300s\n"              \
	"limits: {flows: 24, agents: 3}\nservices:\n"                                                                  \
	"  - {name: web, vip: [203.0.113.10, 203.0.113.11, \"2001:db8:113::10\"], port: 80, affinity-ttl: 60s, "       \
	"method: round-robin,\n"                                                                                       \
	"     servers: [{name: a, address: [10.0.20.11, \"2001:db8:20::11\"]}, {name: b, address: 10.0.20.12}]}\n"     \
	"  - {name: dns, vip: 203.0.113.53, protocol: udp, port: 53, method: round-robin, servers: [{name: n, "        \
	"address: 10.0.20.21, port: 5353}]}\n"
#define MORE                                                                                                           \
	"  - {name: files, vip: 203.0.113.11, port: 443, servers: [{name: a, address: 10.0.20.11}]}\n"                 \
	"  - {name: other, vip: 203.0.113.99, port: 80, precedence: 50, servers: [{name: a, address: 10.0.20.11}],\n"  \
	"     check: {type: none}}\n"

static const char *const texts[] = {COMMON, COMMON MORE};
#define TEXTS (sizeof(texts) / sizeof(texts[0]))

struct bed {
	struct smd_conf *conf;
	struct manager *manager;
	struct admin admin;
	uint64_t now_ms, due_ms, sequence;
	bool deaf;
	uint8_t out[WIRE_MAX];
};

static bool say(struct bed *b, uint64_t to, struct wire_msg *m)
{
	struct wire_diagnosis why;
	struct wire_msg again;
	ssize_t n;

	m->h.source = 0x201;
	m->h.incarnation = 7;
	m->h.destination = to;
	m->h.sequence = ++b->sequence;
	n = wire_encode(m, b->out, sizeof(b->out));
	FUZZ_CHECK(n > 0 && wire_decode(b->out, (size_t)n, &again, &why) == WIRE_OK);
	return !b->deaf;
}

static bool on_send(void *ctx, const struct endpoint_peer *to, struct wire_msg *m)
{
	FUZZ_CHECK(to->identity != 0);
	return say(ctx, to->identity, m);
}

static bool on_send_all(void *ctx, struct wire_msg *m)
{
	return say(ctx, 0, m);
}

static void on_notice(void *ctx, const struct manager_notice *n)
{
	(void)ctx;
	FUZZ_CHECK(n->kind && n->subject && n->text);
}

static const struct manager_out world = {.send = on_send, .send_all = on_send_all, .notice = on_notice};

static struct smd_conf *load(unsigned which)
{
	struct smd_conf *conf = calloc(1, sizeof(*conf));
	char errors[1024] = "";

	FUZZ_CHECK(conf != NULL);
	if (!smd_config_load_text("f", texts[which % TEXTS], conf, errors, sizeof(errors))) {
		fputs(errors, stderr);
		abort();
	}
	return conf;
}

static void unload(struct smd_conf *conf)
{
	smd_config_free(conf);
	free(conf);
}

/* ---- steps ---- */

static struct endpoint_peer peer_of(const struct wire_msg *m)
{
	return (struct endpoint_peer){.identity = m->h.source,
				      .addr = {.family = 4, .b = {10, 77, 0, (uint8_t)m->h.source}},
				      .port = WIRE_PORT};
}

static void do_message(struct bed *b, const struct fuzz_step *s)
{
	struct wire_diagnosis why = {0};
	struct wire_msg m = {0};
	struct endpoint_peer peer;
	uint8_t *data = malloc(s->len + 1);

	FUZZ_CHECK(data != NULL);
	memcpy(data, s->data, s->len);
	wire_decode(data, s->len, &m, &why);
	peer = peer_of(&m);
	if (why.fault == WIRE_FAULT_REQUIRED)
		manager_undecodable(b->manager);
	else if (why.fault != WIRE_OK)
		; /* counted by the endpoint */
	else if (m.h.type == WIRE_CHALLENGE)
		manager_peer_asks(b->manager, &peer, b->now_ms);
	else if (m.h.type == WIRE_CHALLENGE_RESPONSE)
		manager_peer_known(b->manager, &peer, b->now_ms);
	else
		manager_message(b->manager, &peer, &m, b->now_ms);
	free(data);
}

/* Milliseconds; beyond 32 s in steps of 50 of them. */
static void do_time(struct bed *b, const struct fuzz_step *s)
{
	size_t ms = s->len < 2 ? 100 : fuzz_get16(s->data);
	uint64_t end = b->now_ms + (ms < 0x8000 ? ms : (ms - 0x8000) * 50);

	for (int i = 0; i < 500 && b->due_ms < end; i++) {
		uint64_t wait;

		if (b->due_ms > b->now_ms)
			b->now_ms = b->due_ms;
		wait = manager_tick(b->manager, b->now_ms);
		b->due_ms = b->now_ms + (wait ? wait : 1);
	}
	b->now_ms = end;
	b->due_ms = end + manager_tick(b->manager, end);
}

/* Bytes: number of a check, with the result in its lowest bit. */
static void do_check(struct bed *b, const struct fuzz_step *s)
{
	size_t count = manager_services(b->manager)->check_count;

	for (size_t i = 0; i < s->len && count > 0 && i < 32; i++)
		manager_check_result(b->manager, (s->data[i] >> 1) % count, s->data[i] & 1, "so", b->now_ms);
}

static void do_admin(struct bed *b, const struct fuzz_step *s)
{
	Turnout__Request *r = turnout__request__unpack(NULL, s->len, s->data);
	Turnout__Reply reply = TURNOUT__REPLY__INIT;

	if (!r)
		return;
	b->admin.manager = b->manager;
	if (!admin_answer(&b->admin, r, &reply, b->now_ms))
		protobuf_packs(&reply.base);
	admin_release(&b->admin);
	turnout__request__free_unpacked(r, NULL);
}

static void do_reload(struct bed *b, const struct fuzz_step *s)
{
	struct smd_conf *next = load(s->len ? s->data[0] : 0);
	char why[256];

	if (manager_reload(b->manager, next, why, sizeof(why), b->now_ms)) {
		unload(b->conf);
		b->conf = next;
	} else {
		manager_reload_refused(b->manager, why);
		unload(next);
	}
}

static void do_deaf(struct bed *b, const struct fuzz_step *s)
{
	b->deaf = s->len && s->data[0] & 1;
}

static void do_withdraw(struct bed *b, const struct fuzz_step *s)
{
	(void)s;
	for (int i = 0; i < 100 && manager_withdraw(b->manager); i++)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const ops[OPS])(struct bed *, const struct fuzz_step *) = {
		[OP_MESSAGE] = do_message, [OP_TIME] = do_time, [OP_CHECK] = do_check,       [OP_ADMIN] = do_admin,
		[OP_RELOAD] = do_reload,   [OP_DEAF] = do_deaf, [OP_WITHDRAW] = do_withdraw,
	};
	const uint64_t seed[2] = {1, 2};
	struct fuzz_step s;
	struct bed *b;

	if (size < HEAD)
		return 0;
	b = calloc(1, sizeof(*b));
	FUZZ_CHECK(b != NULL);
	b->now_ms = b->due_ms = 1000000;
	b->conf = load(data[0]);
	b->manager = manager_new(b->conf, seed, &world, b, b->now_ms);
	FUZZ_CHECK(b->manager != NULL);
	b->admin = (struct admin){.name = "sm1", .started_ms = 1};
	data += HEAD;
	size -= HEAD;
	while (fuzz_next(&data, &size, &s)) {
		ops[s.op % OPS](b, &s);
		FUZZ_CHECK(flows_count(manager_flows(b->manager)) <= FLOWS);
	}
	manager_free(b->manager);
	unload(b->conf);
	free(b);
	return 0;
}

/* ---- mutations ---- */

static size_t change(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	if (fuzz_below(seed, 32) == 0)
		p[0] = (uint8_t)fuzz_below(seed, OPS);
	return fuzz_change_step(p, size, max,
				p[0] % OPS == OP_MESSAGE ? wire_shape
				: p[0] % OPS == OP_ADMIN ? protobuf_shape
							 : fuzz_any,
				seed);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t chance = fuzz_seed(seed);

	if (size >= HEAD && fuzz_below(&chance, 32) == 0)
		data[0] = (uint8_t)fuzz_below(&chance, TEXTS);
	return fuzz_mutate(data, size, max, HEAD, fuzz_cut_step, change, &chance);
}
