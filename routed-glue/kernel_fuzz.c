/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the reading of rtnetlink: any datagram is messages, or the rest is
 * left alone; what is taken for a route can be filed and planned for.
 *
 * The mutator keeps the lengths of messages right.
 */
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "routed-glue/kernel_parse.h"
#include "tests/fuzz/mutate.h"

#define MOST 64 /* routes */

static void look(const struct nlmsghdr *h, struct kernel_device *d, struct route *routes, size_t *count)
{
	struct kernel_route r;

	kernel_parse_link(h, d);
	kernel_parse_address(h, d);
	kernel_parse_concerns(h, d->ifindex);
	if (!kernel_parse_route(h, &r))
		return;
	FUZZ_CHECK(r.route.prefix.plen <= addr_len(r.route.prefix.addr.family) * 8);
	if (*count < MOST)
		routes[(*count)++] = r.route;
}

/* Nothing is wanted: all of it is to go. */
static void file(struct route *routes, size_t count)
{
	struct view *v = view_new(20);
	struct route_op *ops;
	size_t unexpected;

	FUZZ_CHECK(v != NULL);
	view_load(v, routes, count, &unexpected);
	FUZZ_CHECK(unexpected <= count && view_plan(v, NULL, 0, &ops) == (ssize_t)unexpected);
	free(ops);
	view_free(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t address[4] = {192, 0, 0, 8};
	struct kernel_device d = {.name = "vip0", .address = address, .ifindex = 7};
	struct route routes[MOST];
	size_t count = 0;
	uint8_t *copy = malloc(size + 1);
	const struct nlmsghdr *h = (const struct nlmsghdr *)copy;
	int left = (int)size;

	FUZZ_CHECK(copy != NULL);
	memcpy(copy, data, size);
	for (; kernel_parse_ok(h, left); h = mnl_nlmsg_next(h, &left))
		look(h, &d, routes, &count);
	file(routes, count);
	free(copy);
	return 0;
}

/* ---- mutations ---- */

/* Lengths of messages and of attributes are of this machine's byte order; both are padded to 4. */
static size_t cut_message(const uint8_t *data, size_t size)
{
	uint32_t len;

	if (size < sizeof(struct nlmsghdr))
		return 0;
	memcpy(&len, data, sizeof(len));
	return len > size ? 0 : NLMSG_ALIGN(len);
}

static size_t cut_attribute(const uint8_t *data, size_t size)
{
	uint16_t len;

	if (size < sizeof(struct rtattr))
		return 0;
	memcpy(&len, data, sizeof(len));
	return RTA_ALIGN(len);
}

static size_t change_attribute(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	size_t room = max < 256 ? max : 256, n;
	uint16_t len;

	if (size < 4 || size > room - room % 4 || room < 8)
		return size;
	if (fuzz_below(seed, 8) == 0)
		p[2] = (uint8_t)fuzz_below(seed, 32);
	n = 4 + LLVMFuzzerMutate(p + 4, size - 4, fuzz_below(seed, 4) && size > 4 ? size - 4 : room - 8);
	len = (uint16_t)n;
	memcpy(p, &len, sizeof(len));
	for (; n % 4; n++)
		p[n] = 0;
	return n;
}

static size_t change_message(uint8_t *p, size_t size, size_t max, uint32_t *seed)
{
	static const uint8_t types[] = {RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE};
	size_t fixed = sizeof(struct nlmsghdr) + sizeof(struct rtmsg); /* of the three heads the shortest but for one */
	uint32_t len;

	if (size <= fixed || size > max)
		return size;
	if (fuzz_below(seed, 8) == 0)
		p[4] = types[fuzz_below(seed, sizeof(types))];
	if (fuzz_below(seed, 4) == 0)
		p[16 + fuzz_below(seed, 12)] = (uint8_t)fuzz_below(seed, 256);
	else
		size = fuzz_mutate(p, size, max, fixed, cut_attribute, change_attribute, seed);
	len = (uint32_t)size;
	memcpy(p, &len, sizeof(len));
	return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t chance = fuzz_seed(seed);

	if (fuzz_below(&chance, 16) == 0)
		return LLVMFuzzerMutate(data, size, max);
	return fuzz_mutate(data, size, max, 0, cut_message, change_message, &chance);
}
