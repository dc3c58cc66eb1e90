/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Building Maglev tables; see maglev.h.  Must not know what the members are.
 *
 * Each member has a permutation of all slots, given by an offset and a step
 * that its name determines.  Members take turns; in a turn a member takes the
 * next slot of its permutation that is still free.  A member of less than the
 * greatest weight sits out turns in proportion.
 */
#include "smd/maglev.h"

#include <stdlib.h>
#include <string.h>

#include "lib/hash.h"

/* Part of the meaning of a configuration: changing these moves flows between
 * servers when managers of both kinds are in use. */
static const uint64_t OFFSET_KEY[2] = {0x7475726e6f75742d, 0x6d61676c65762d31};
static const uint64_t STEP_KEY[2] = {0x7475726e6f75742d, 0x6d61676c65762d32};

struct taker {
	const struct maglev_member *member;
	uint32_t next; /* slot to try next */
	uint32_t step;
	uint64_t due; /* turn, times the greatest weight, at which it may take again */
};

/* Who goes first in a turn must not depend on the order given. */
static int compare(const void *a, const void *b)
{
	return strcmp(((const struct taker *)a)->member->name, ((const struct taker *)b)->member->name);
}

static void take(struct taker *t, uint16_t *table)
{
	while (table[t->next] != MAGLEV_NONE)
		t->next = (t->next + t->step) % MAGLEV_SLOTS;
	table[t->next] = t->member->index;
}

static void fill(uint16_t *table, struct taker *takers, unsigned count, uint32_t max_weight)
{
	uint32_t filled = 0;

	for (uint64_t turn = 1;; turn++)
		for (unsigned i = 0; i < count; i++) {
			struct taker *t = &takers[i];

			if (turn * t->member->weight < t->due)
				continue;
			t->due += max_weight;
			take(t, table);
			if (++filled == MAGLEV_SLOTS)
				return;
		}
}

bool maglev_build(uint16_t *table, const struct maglev_member *members, unsigned count)
{
	struct taker *takers;
	uint32_t max_weight = 0;

	if (count > MAGLEV_MAX)
		return false;
	takers = calloc(count ? count : 1, sizeof(*takers));
	if (!takers)
		return false;
	for (unsigned i = 0; i < count; i++) {
		const char *name = members[i].name;

		if (!members[i].weight) {
			free(takers);
			return false;
		}
		takers[i].member = &members[i];
		takers[i].next = hash_bytes(OFFSET_KEY, name, strlen(name)) % MAGLEV_SLOTS;
		takers[i].step = hash_bytes(STEP_KEY, name, strlen(name)) % (MAGLEV_SLOTS - 1) + 1;
		if (members[i].weight > max_weight)
			max_weight = members[i].weight;
	}
	for (unsigned i = 0; i < count; i++)
		takers[i].due = max_weight;
	qsort(takers, count, sizeof(*takers), compare);
	for (uint32_t s = 0; s < MAGLEV_SLOTS; s++)
		table[s] = MAGLEV_NONE;
	if (count)
		fill(table, takers, count, max_weight);
	free(takers);
	return true;
}
