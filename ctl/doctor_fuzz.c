/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the doctor's checks: whatever nft, FRRouting and the daemons say,
 * there are findings with words, and nothing else happens.
 *
 * As steps: the ruleset in JSON, a running configuration, and daemons' listings.
 */
#include "ctl/doctor.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/shape_protobuf.h"

#define DAEMONS 3
#define PAGES   8

/* A step's operation, modulo their number; tests/fuzz/seeds.py writes the same.  LISTING: daemon u8, which u8, Reply.
 */
enum { OP_RULESET, OP_FRR, OP_LISTING, OP_HOST, OPS };

struct bed {
	struct facts facts;
	struct fact_daemon daemons[DAEMONS];
	Turnout__Reply *pages[DAEMONS][FACT_LISTINGS][PAGES];
	struct fact_interface interfaces[3];
};

static char *text_of(const struct fuzz_step *s)
{
	char *text = malloc(s->len + 1);

	FUZZ_CHECK(text != NULL);
	memcpy(text, s->data, s->len);
	text[s->len] = '\0';
	return text;
}

static void do_ruleset(struct bed *b, const struct fuzz_step *s)
{
	free(b->facts.host.ruleset);
	b->facts.host.ruleset = text_of(s);
	b->facts.host.nft = FACT_YES;
}

static void do_frr(struct bed *b, const struct fuzz_step *s)
{
	struct fact_daemon *glue = &b->daemons[1];
	struct fact_frr *f = &glue->frr[glue->frr_count];

	if (glue->frr_count == FRR_DAEMONS)
		return;
	*f = (struct fact_frr){.name = "bgpd", .state = FACT_YES, .config = text_of(s)};
	glue->frr_count++;
}

static void do_listing(struct bed *b, const struct fuzz_step *s)
{
	Turnout__Reply *r = s->len >= 2 ? turnout__reply__unpack(NULL, s->len - 2, s->data + 2) : NULL;
	struct fact_pages *p;

	if (!r)
		return;
	p = &b->daemons[s->data[0] % DAEMONS].listings[s->data[1] % FACT_LISTINGS];
	if (p->count < PAGES)
		p->pages[p->count++] = r;
	else
		turnout__reply__free_unpacked(r, NULL);
}

/* Switches of the host and of the interfaces. */
static void do_host(struct bed *b, const struct fuzz_step *s)
{
	struct fact_host *h = &b->facts.host;
	int *const switches[] = {&h->forward4,      &h->forward6,     &h->hash4,
				 &h->hash6,         &h->rp_all,       &b->interfaces[0].rp_filter,
				 &h->proxy_arp_all, &h->proxy_ndp_all};

	for (size_t i = 0; i < s->len && i < 8; i++)
		*switches[i] = s->data[i] % 4 - 1;
	if (s->len > 8)
		b->interfaces[1].up = s->data[8] & 1;
}

static void prepare(struct bed *b)
{
	static const char *const names[DAEMONS] = {"fad", "routed-glue", "smd"};
	static const char *const interfaces[] = {"lan", "tn-punt0", "vip0"};

	b->facts = (struct facts){.daemons = b->daemons, .daemon_count = DAEMONS, .run_dirs = "/run/turnout"};
	b->facts.host.interfaces = b->interfaces;
	b->facts.host.interface_count = 3;
	for (size_t i = 0; i < DAEMONS; i++) {
		struct fact_daemon *d = &b->daemons[i];

		snprintf(d->program, sizeof(d->program), "%s", names[i]);
		snprintf(d->version, sizeof(d->version), "%s", TURNOUT_VERSION);
		d->label = d->name = (char *)(uintptr_t)names[i];
		d->dir = (char *)(uintptr_t) "/run/turnout";
		for (size_t k = 0; k < FACT_LISTINGS; k++)
			d->listings[k].pages = b->pages[i][k];
		snprintf(b->interfaces[i].name, sizeof(b->interfaces[i].name), "%s", interfaces[i]);
		b->interfaces[i].up = true;
	}
}

static void clear(struct bed *b)
{
	for (size_t i = 0; i < DAEMONS; i++)
		for (size_t k = 0; k < FACT_LISTINGS; k++)
			for (size_t n = 0; n < b->daemons[i].listings[k].count; n++)
				turnout__reply__free_unpacked(b->pages[i][k][n], NULL);
	for (size_t i = 0; i < b->daemons[1].frr_count; i++)
		free(b->daemons[1].frr[i].config);
	free(b->facts.host.ruleset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const ops[OPS])(struct bed *, const struct fuzz_step *) = {
		[OP_RULESET] = do_ruleset, [OP_FRR] = do_frr, [OP_LISTING] = do_listing, [OP_HOST] = do_host};
	struct bed *b = calloc(1, sizeof(*b));
	struct findings found = {0};
	struct fuzz_step s;

	FUZZ_CHECK(b != NULL);
	prepare(b);
	while (fuzz_next(&data, &size, &s))
		ops[s.op % OPS](b, &s);
	doctor_check(&b->facts, &found);
	for (size_t i = 0; i < found.count; i++)
		FUZZ_CHECK(found.list[i].text && *found.list[i].text && found.list[i].check);
	findings_free(&found);
	clear(b);
	free(b);
	return 0;
}

/* ---- mutations ---- */

static size_t change(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	size_t head = FUZZ_STEP_HEAD + 2, n;

	if (fuzz_below(seed, 32) == 0)
		p[0] = (uint8_t)fuzz_below(seed, OPS);
	if (p[0] % OPS != OP_LISTING || size < head || size > max || max > 0xf000)
		return fuzz_change_step(p, size, max, fuzz_any, seed);
	if (fuzz_below(seed, 8) == 0)
		p[FUZZ_STEP_HEAD + fuzz_below(seed, 2)] = (uint8_t)fuzz_below(seed, FACT_LISTINGS);
	n = protobuf_shape(p + head, size - head, max - head, seed);
	fuzz_put16(p + 1, 2 + n);
	return head + n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t chance = fuzz_seed(seed);

	return fuzz_mutate(data, size, max, 0, fuzz_cut_step, change, &chance);
}
