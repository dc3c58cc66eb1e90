/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing what FRRouting says it has: any answer on its vty socket, in parts,
 * is a table or is refused; then it is compared with what is wanted, and only
 * routes that may be announced are healed, each by a pair of operations.
 *
 * The first byte says in how large parts it comes; the rest is the answer.
 */
#include "routed-glue/frr_audit.h"
#include "tests/fuzz/mutate.h"

static const char *const prefixes[] = {"203.0.113.10/32", "203.0.113.11/32", "2001:db8:113::10/128", "198.51.100.0/24"};
#define PREFIXES (sizeof(prefixes) / sizeof(prefixes[0]))

/* All wanted and announced; the first two are in the kernel. */
static void prepare(struct wanted *w, struct view *v)
{
	bool changed;

	for (size_t i = 0; i < PREFIXES; i++) {
		struct route_op op = {.kind = ROUTE_ADD, .route = {.metric = 20}};

		FUZZ_CHECK(prefix_parse(prefixes[i], &op.route.prefix) == NULL && wanted_add(w, 0, &op.route.prefix));
		if (i < 2)
			view_result(v, &op, 0);
	}
	wanted_step(w, 1000, &changed);
}

static void compare(const struct frr_table *has)
{
	const struct wanted_limits limits = {.prefixes = 100, .hold_ms = 1000, .flap_refill_ms = 1000};
	struct wanted *w = wanted_new(&limits);
	struct view *v = view_new(20);
	struct frr_audit audit = {0};
	struct route_op *ops;
	bool again;

	FUZZ_CHECK(w && v);
	prepare(w, v);
	for (int i = 0; i < 2; i++) { /* what is wrong twice is healed */
		ssize_t n = frr_audit_compare(&audit, w, v, 20, has, &ops, &again);

		FUZZ_CHECK(n >= 0 && n % 2 == 0 && (i == 1 || n == 0));
		for (ssize_t k = 0; k < n; k += 2)
			FUZZ_CHECK(memcmp(&ops[k].route, &ops[k + 1].route, sizeof(ops[k].route)) == 0);
		free(ops);
	}
	frr_audit_free(&audit);
	view_free(v);
	wanted_free(w);
}

/* As much as has come when it first looks complete. */
static enum frr_answer receive(const char *answer, size_t size, size_t part, size_t *text)
{
	for (size_t have = part; have < size; have += part) {
		enum frr_answer a = frr_answer_end(answer, have, text);

		if (a != FRR_ANSWER_PART)
			return a;
	}
	return frr_answer_end(answer, size, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frr_table t = {0};
	size_t text = 0;
	char *answer;

	if (size < 1)
		return 0;
	answer = malloc(size);
	FUZZ_CHECK(answer != NULL);
	memcpy(answer, data + 1, size - 1);
	if (receive(answer, size - 1, 1 + data[0] * 16u, &text) == FRR_ANSWER_PART)
		text = size - 1; /* so that a missing trailer does not keep the mutator out of the text */
	FUZZ_CHECK(text < size);
	if (frr_table_add(&t, answer, text, "vip0")) {
		frr_table_sort(&t);
		for (size_t i = 0; i < t.count; i++)
			FUZZ_CHECK(frr_table_has(&t, &t.prefixes[i]));
		compare(&t);
	}
	frr_table_free(&t);
	free(answer);
	return 0;
}
