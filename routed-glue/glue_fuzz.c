/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the glue with sequences of what agents say on the admin bus, what
 * the kernel answers, time, and questions from turnoutctl.  Whatever comes:
 * limits hold, and what is planned may be announced.
 *
 * As in agents_io.c and main.c, without sockets.
 */
#include "proto/admin.pb-c.h"
#include "routed-glue/admin.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/shape_protobuf.h"

#define AGENTS   2
#define PREFIXES 40

/* A step's operation, modulo their number.  EVENT and REPLY: agent u8, then the message. */
enum { OP_EVENT, OP_REPLY, OP_TIME, OP_KERNEL, OP_LOAD, OP_ADMIN, OPS };

struct bed {
	struct glue *glue;
	struct glue_config conf;
	struct admin admin;
	uint64_t now_ms, last_id;
};

/* The request goes out at once; an answer names the latest, or any other. */
static void ask(struct bed *b, unsigned agent, struct glue_ask next)
{
	if (next.ask)
		glue_asked(b->glue, agent, ++b->last_id, next.cursor, b->now_ms);
}

static void do_event(struct bed *b, const struct fuzz_step *s)
{
	unsigned agent = s->len ? s->data[0] % AGENTS : 0;
	Turnout__Event *e = s->len ? turnout__event__unpack(NULL, s->len - 1, s->data + 1) : NULL;
	struct glue_ask next;

	if (!e)
		return;
	if (e->what_case == TURNOUT__EVENT__WHAT_HEARTBEAT)
		next = glue_heartbeat(b->glue, agent, e->seq, e->heartbeat->version, b->now_ms);
	else if (e->what_case == TURNOUT__EVENT__WHAT_ADVERTISE)
		next = glue_change(b->glue, agent, e->seq, e->advertise->version,
				   (struct glue_prefixes){e->advertise->add, e->advertise->n_add},
				   (struct glue_prefixes){e->advertise->remove, e->advertise->n_remove}, b->now_ms);
	else if (e->what_case == TURNOUT__EVENT__WHAT_STOPPING)
		next = glue_stopping(b->glue, agent, e->seq, e->stopping->hold_ms, b->now_ms);
	else
		next = glue_other(b->glue, agent, e->seq, b->now_ms);
	ask(b, agent, next);
	turnout__event__free_unpacked(e, NULL);
}

static void do_reply(struct bed *b, const struct fuzz_step *s)
{
	unsigned agent = s->len ? s->data[0] % AGENTS : 0;
	Turnout__Reply *r = s->len ? turnout__reply__unpack(NULL, s->len - 1, s->data + 1) : NULL;
	uint64_t id;

	if (!r)
		return;
	id = s->data[0] & 0x80 ? r->id : b->last_id;
	if (*r->error || !r->advertised)
		glue_refused(b->glue, agent, id, b->now_ms);
	else
		ask(b, agent,
		    glue_page(b->glue, agent, id, r->advertised->version, r->next,
			      (struct glue_prefixes){r->advertised->prefixes, r->advertised->n_prefixes}, b->now_ms));
	turnout__reply__free_unpacked(r, NULL);
}

static void do_time(struct bed *b, const struct fuzz_step *s)
{
	uint64_t expired;

	b->now_ms += s->len < 2 ? 50 : fuzz_get16(s->data);
	glue_step(b->glue, b->now_ms, &expired);
	FUZZ_CHECK(expired >> AGENTS == 0);
	glue_ended(b->glue);
	for (unsigned i = 0; i < AGENTS; i++)
		if (glue_may_refresh(b->glue, i, b->now_ms))
			ask(b, i, (struct glue_ask){.ask = true});
}

/* The plan is carried out; byte i says how operation i ends. */
static void do_kernel(struct bed *b, const struct fuzz_step *s)
{
	static const int errors[] = {0, 0, 0, 17 /* EEXIST */, 101 /* ENETUNREACH */};
	struct route_op *ops;
	ssize_t n = glue_plan(b->glue, &ops);
	char text[PREFIX_STRLEN];
	struct prefix p;

	FUZZ_CHECK(n >= 0);
	for (ssize_t i = 0; i < n; i++) {
		prefix_print(&ops[i].route.prefix, text);
		FUZZ_CHECK(ops[i].kind == ROUTE_DELETE || prefix_parse(text, &p) == NULL);
		glue_result(b->glue, &ops[i], (size_t)i < s->len ? errors[s->data[i] % 5] : 0);
	}
	free(ops);
}

/* A dump in which some routes are missing and others have come: 18 bytes each. */
static void do_load(struct bed *b, const struct fuzz_step *s)
{
	struct route routes[PREFIXES];
	size_t count = s->len / 18 < PREFIXES ? s->len / 18 : PREFIXES;

	for (size_t i = 0; i < count; i++) {
		const uint8_t *at = s->data + 18 * i;
		struct route *r = &routes[i];

		*r = (struct route){.prefix.addr.family = at[0] & 1 ? 6 : 4, .metric = 20};
		r->prefix.plen = (uint8_t)(at[1] % (addr_len(r->prefix.addr.family) * 8 + 1));
		memcpy(r->prefix.addr.b, at + 2, addr_len(r->prefix.addr.family));
	}
	glue_loaded(b->glue, routes, count);
	glue_retry(b->glue, count ? &routes[0].prefix : NULL);
}

static void do_admin(struct bed *b, const struct fuzz_step *s)
{
	Turnout__Request *r = turnout__request__unpack(NULL, s->len, s->data);
	Turnout__Reply reply = TURNOUT__REPLY__INIT;

	if (!r)
		return;
	b->admin.now_ms = b->now_ms;
	if (!admin_answer(&b->admin, r, &reply))
		protobuf_packs(&reply.base);
	admin_release(&b->admin);
	turnout__request__free_unpacked(r, NULL);
}

static void bed_open(struct bed *b)
{
	const struct glue_conf conf = {
		.agents = AGENTS,
		.lease_ms = 2000,
		.metric = 20,
		.limits = {.prefixes = PREFIXES, .hold_ms = 1200, .flap_limit = 5, .flap_refill_ms = 10000}};
	static const char text[] = "agents: [fad, fad2]\n";
	char errors[256];

	b->now_ms = 1000000;
	b->glue = glue_new(&conf);
	FUZZ_CHECK(b->glue && glue_config_load_text("f", text, &b->conf, errors, sizeof(errors)));
	b->admin = (struct admin){.glue = b->glue, .conf = &b->conf, .started_ms = 1};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const ops[OPS])(struct bed *, const struct fuzz_step *) = {
		[OP_EVENT] = do_event,   [OP_REPLY] = do_reply, [OP_TIME] = do_time,
		[OP_KERNEL] = do_kernel, [OP_LOAD] = do_load,   [OP_ADMIN] = do_admin,
	};
	struct bed b = {0};
	struct fuzz_step s;

	bed_open(&b);
	while (fuzz_next(&data, &size, &s)) {
		ops[s.op % OPS](&b, &s);
		FUZZ_CHECK(wanted_count(glue_wanted(b.glue)) <= PREFIXES);
	}
	glue_free(b.glue);
	glue_config_free(&b.conf);
	return 0;
}

/* ---- mutations ---- */

static size_t change(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	bool from_agent = p[0] % OPS <= OP_REPLY;
	size_t head = FUZZ_STEP_HEAD + (from_agent ? 1 : 0), n;

	if (fuzz_below(seed, 32) == 0)
		p[0] = (uint8_t)fuzz_below(seed, OPS);
	if (size < head || size > max || max > 0xf000 || (!from_agent && p[0] % OPS != OP_ADMIN))
		return fuzz_change_step(p, size, max, fuzz_any, seed);
	if (from_agent && fuzz_below(seed, 8) == 0)
		p[FUZZ_STEP_HEAD] = (uint8_t)fuzz_below(seed, 256);
	n = protobuf_shape(p + head, size - head, max - head, seed);
	fuzz_put16(p + 1, head + n - FUZZ_STEP_HEAD);
	return head + n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t chance = fuzz_seed(seed);

	return fuzz_mutate(data, size, max, 0, fuzz_cut_step, change, &chance);
}
