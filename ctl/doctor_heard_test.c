/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of how doctor tells control messages from what else comes in.
 */
#include "ctl/doctor.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

#define MESSAGE 44

/* A hello of identity 0x101 without segments but an empty action list, in UDP to port 7511. */
static size_t packet(uint8_t *p, uint8_t family)
{
	static const uint8_t v4[20] = {0x45, 0, 0, 72, 0, 0, 0x40, 0, 8, 17, 0, 0, 10, 77, 0, 1, 239, 255, 75, 10};
	size_t ip = family == 4 ? 20 : 40;
	uint8_t *udp = p + ip, *m = udp + 8;

	memset(p, 0, ip + 8 + MESSAGE);
	if (family == 4) {
		memcpy(p, v4, sizeof(v4));
	} else {
		p[0] = 0x60;
		p[6] = 17;
		p[8] = 0xfd;
		p[23] = 1;
		p[24] = 0xff;
		p[39] = 0x10;
	}
	memcpy(udp, (uint8_t[]){7510 >> 8, 7510 & 255, 7511 >> 8, 7511 & 255, 0, 8 + MESSAGE}, 6);
	m[0] = WIRE_VERSION;
	m[1] = WIRE_HELLO;
	m[3] = MESSAGE;
	m[14] = m[15] = 1; /* source */
	m[23] = 1;         /* incarnation */
	m[39] = 1;         /* sequence */
	m[40] = WIRE_SEG_ACTION_LIST;
	return ip + 8 + MESSAGE;
}

/* From a copy of just this size, so that reading past its end is noticed. */
static bool read_copy(const uint8_t *p, size_t len, struct fact_heard *h)
{
	uint8_t *copy = malloc(len ? len : 1);
	bool found;

	memcpy(copy, p, len);
	*h = (struct fact_heard){0};
	found = doctor_read_message(copy, len, 7510, 7511, h);
	free(copy);
	return found;
}

START_TEST(messages_are_read_and_nothing_else_ARCH_4)
{
	uint8_t family = _i ? 6 : 4, p[128];
	size_t len = packet(p, family), udp = family == 4 ? 20 : 40;
	struct fact_heard h;

	ck_assert(read_copy(p, len, &h));
	ck_assert(h.from_port == 7510 && h.to_port == 7511 && h.identity == 0x101);
	ck_assert(h.type == WIRE_HELLO && h.version == WIRE_VERSION && h.from.family == family);
	ck_assert_uint_eq(h.to.b[0], family == 4 ? 239 : 0xff);
	for (size_t n = 0; n < len; n++)
		ck_assert_msg(!read_copy(p, n, &h), "read from %zu bytes", n);
	p[udp + 2] = 1; /* another port: known by its header */
	ck_assert(read_copy(p, len, &h));
	p[udp + 8] = 2; /* and of another version then not */
	ck_assert(!read_copy(p, len, &h));
	packet(p, family);
	p[udp + 8] = 2;
	ck_assert(read_copy(p, len, &h) && h.version == 2 && h.identity == 0);
	packet(p, family);
	p[family == 4 ? 9 : 6] = 6; /* TCP */
	ck_assert(!read_copy(p, len, &h));
	packet(p, family);
	p[udp + 5] = 8; /* UDP without a payload */
	ck_assert(!read_copy(p, len, &h));
	len = packet(p, 4);
	p[7] = 1; /* a later fragment */
	ck_assert(!read_copy(p, len, &h));
}
END_TEST

/* Whatever one byte is, nothing bad comes of it. */
START_TEST(any_byte_may_be_wrong_ARCH_4)
{
	uint8_t p[128];
	size_t len = packet(p, 4);
	struct fact_heard h;

	for (size_t at = 0; at < len; at++)
		for (unsigned value = 0; value < 256; value++) {
			packet(p, 4);
			p[at] = (uint8_t)value;
			read_copy(p, len, &h);
		}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("doctor_heard");
	TCase *t = tcase_create("messages");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_loop_test(t, messages_are_read_and_nothing_else_ARCH_4, 0, 2);
	tcase_add_test(t, any_byte_may_be_wrong_ARCH_4);
	suite_add_tcase(suite, t);
	if (getenv("TAP_FILE"))
		srunner_set_tap(runner, getenv("TAP_FILE"));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
