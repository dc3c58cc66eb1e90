/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of turnoutctl capture, what is pure of it: options, packets as lines.
 */
#include "ctl/capture.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* IPv4, TCP, 10.0.1.11:4000 > 203.0.113.10:80, SYN. */
static const uint8_t syn4[] = {0x45, 0,    0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10,   0, 1, 11, 203, 0, 113, 10,
			       0x0f, 0xa0, 0, 80, 0, 0, 0, 0, 0,  0, 0, 0, 0x50, 2, 0, 0,  0,   0, 0,   0};

static void sees(const uint8_t *data, size_t len, const char *protocol, const char *source, const char *destination,
		 const char *flags)
{
	/* On the heap at its exact size: the sanitizer notices any look beyond it. */
	uint8_t *exact = malloc(len ? len : 1);
	struct capture_seen seen;

	memcpy(exact, data, len);
	capture_look(exact, len, &seen);
	free(exact);
	ck_assert_str_eq(seen.protocol, protocol);
	ck_assert_str_eq(seen.source, source);
	ck_assert_str_eq(seen.destination, destination);
	ck_assert_str_eq(seen.flags, flags);
}

START_TEST(packets_are_named_by_their_flow_ARCH_7)
{
	uint8_t p[sizeof(syn4)];

	sees(syn4, sizeof(syn4), "tcp", "10.0.1.11:4000", "203.0.113.10:80", "S");
	memcpy(p, syn4, sizeof(p));
	p[33] = 0x12;
	sees(p, sizeof(p), "tcp", "10.0.1.11:4000", "203.0.113.10:80", "S.");
	p[9] = 1;
	sees(p, sizeof(p), "icmp", "10.0.1.11", "203.0.113.10", "");
	p[9] = 17;
	p[7] = 1; /* a later fragment */
	sees(p, sizeof(p), "udp", "10.0.1.11", "203.0.113.10", "");
}
END_TEST

START_TEST(ipv6_extension_headers_are_passed_over_ARCH_7)
{
	uint8_t p[40 + 8 + 8 + 20] = {0x60};

	p[6] = 0; /* hop by hop */
	p[23] = 1;
	p[39] = 2;
	p[40] = 44; /* then a fragment header */
	p[48] = 6;
	p[56] = 0x0f;
	p[57] = 0xa0;
	p[59] = 80;
	p[56 + 13] = 4;
	sees(p, sizeof(p), "tcp", "[::1]:4000", "[::2]:80", "R");
	p[50] = 1; /* not the first one */
	sees(p, sizeof(p), "tcp", "::1", "::2", "");
}
END_TEST

START_TEST(any_bytes_of_any_length_are_no_harm_ARCH_7)
{
	uint8_t p[120];
	struct capture_seen seen;
	unsigned random = 1;

	for (size_t len = 0; len <= sizeof(syn4); len++) {
		uint8_t *exact = malloc(len ? len : 1);

		memcpy(exact, syn4, len);
		capture_look(exact, len, &seen);
		free(exact);
	}
	sees((const uint8_t *)"", 0, "?", "-", "-", "");
	for (int i = 0; i < 20000; i++) {
		size_t len = (size_t)i % (sizeof(p) + 1);
		uint8_t *exact = malloc(len ? len : 1);

		for (size_t k = 0; k < len; k++) {
			random = random * 1103515245 + 12345;
			exact[k] = (uint8_t)(random >> 16);
		}
		if (len > 6) {
			exact[0] = i & 1 ? 0x60 : 0x45;
			exact[6] = i & 2 ? 0 : exact[6];
		}
		capture_look(exact, len, &seen);
		free(exact);
	}
}
END_TEST

static const Turnout__Captured *captured(Turnout__Captured *p, const char *kind, const char *reason)
{
	turnout__captured__init(p);
	p->kind = (char *)(uintptr_t)kind;
	p->reason = (char *)(uintptr_t)reason;
	p->packet = (ProtobufCBinaryData){sizeof(syn4), (uint8_t *)(uintptr_t)syn4};
	p->length = 60;
	p->time_us = 1700000000123456;
	p->interface = (char *)(uintptr_t) "lan";
	return p;
}

START_TEST(a_line_says_why_ARCH_7)
{
	Turnout__Captured p;
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	json_t *j;

	capture_print(out, false, "fad", captured(&p, "drop", "hold-full"));
	fflush(out);
	ck_assert_ptr_nonnull(
		strstr(text, ".123 fad drop hold-full lan tcp 10.0.1.11:4000 > 203.0.113.10:80 [S] 60 bytes\n"));
	rewind(out);
	capture_print(out, true, "fad", &p);
	fclose(out);
	j = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
	ck_assert_ptr_nonnull(j);
	ck_assert_str_eq(json_string_value(json_object_get(j, "reason")), "hold-full");
	ck_assert_int_eq(json_integer_value(json_object_get(j, "length")), 60);
	json_decref(j);
	free(text);
}
END_TEST

START_TEST(names_cannot_steer_a_terminal_ARCH_7)
{
	Turnout__Captured p;
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	json_t *j;

	captured(&p, "dr\033op", "hold\r\xff");
	p.interface = (char[]){"la\fn"};
	capture_print(out, false, "fad", &p);
	fflush(out);
	ck_assert_ptr_nonnull(strstr(text, " fad dr?op hold?? la?n tcp "));
	rewind(out);
	capture_print(out, true, "fad", &p);
	fclose(out);
	j = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
	ck_assert_str_eq(json_string_value(json_object_get(j, "interface")), "la?n");
	json_decref(j);
	free(text);
}
END_TEST

START_TEST(what_others_asked_for_is_not_shown_ARCH_7)
{
	Turnout__Capture r = TURNOUT__CAPTURE__INIT;
	Turnout__Captured p;

	ck_assert(capture_wanted(&r, captured(&p, "drop", "hold-full")));
	r.punts = true;
	ck_assert(!capture_wanted(&r, &p));
	r.drops = true;
	ck_assert(capture_wanted(&r, &p));
	r.reason = (char *)(uintptr_t) "affinity";
	ck_assert(!capture_wanted(&r, &p));
	ck_assert(capture_wanted(&r, captured(&p, "drop", "affinity")));
}
END_TEST

START_TEST(durations_have_a_unit)
{
	static const char *const bad[] = {"",    "5", "s", "-1s", "1.5s", "5 s", "5sec", "0s", "99999999999999999999h",
					  "200h"};

	ck_assert_uint_eq(capture_duration("250ms"), 250);
	ck_assert_uint_eq(capture_duration("10s"), 10000);
	ck_assert_uint_eq(capture_duration("5m"), 300000);
	ck_assert_uint_eq(capture_duration("1h"), 3600000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(capture_duration(bad[i]) == 0, "%s", bad[i]);
}
END_TEST

/* A run that must be refused, with this text. */
static void refused(const char *const *words, int argc, const char *text)
{
	char *argv[16], *said;
	size_t size;
	FILE *err = open_memstream(&said, &size), *out = fopen("/dev/null", "w");
	enum exitcode status;

	for (int i = 0; i < argc; i++)
		argv[i] = (char *)(uintptr_t)words[i];
	argv[argc] = NULL;
	status = ctl_run(argc, argv, out, err);
	fclose(err);
	fclose(out);
	ck_assert_int_eq(status, EXITCODE_USAGE);
	ck_assert_msg(strstr(said, text) != NULL, "'%s' is not in: %s", text, said);
	free(said);
}
#define REFUSED(text, ...)                                                                                             \
	refused((const char *const[]){"turnoutctl", __VA_ARGS__},                                                      \
		(int)(sizeof((const char *const[]){"turnoutctl", __VA_ARGS__}) / sizeof(char *)), text)

START_TEST(bad_options_and_filters_are_refused_before_anything_ARCH_7)
{
	REFUSED("--count 'x': a number", "capture", "--count", "x");
	REFUSED("--count '0': a number", "capture", "--count", "0");
	REFUSED("--for '5': a duration", "capture", "--for", "5");
	REFUSED("filter 'tcp prt 80'", "capture", "tcp", "prt", "80");
	REFUSED("-w needs a value", "capture", "-w");
	REFUSED("--drops is an option of capture, not of version", "version", "--drops");
	REFUSED("--count is an option of capture and watch, not of doctor", "doctor", "--count", "3");
	REFUSED("--for '0s': a duration such as 500ms, 10s or 1m is needed", "doctor", "--for", "0s");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("capture");
	TCase *t = tcase_create("capture");
	SRunner *r;
	int failed;

	tcase_add_test(t, packets_are_named_by_their_flow_ARCH_7);
	tcase_add_test(t, ipv6_extension_headers_are_passed_over_ARCH_7);
	tcase_add_test(t, any_bytes_of_any_length_are_no_harm_ARCH_7);
	tcase_add_test(t, a_line_says_why_ARCH_7);
	tcase_add_test(t, names_cannot_steer_a_terminal_ARCH_7);
	tcase_add_test(t, what_others_asked_for_is_not_shown_ARCH_7);
	tcase_add_test(t, durations_have_a_unit);
	tcase_add_test(t, bad_options_and_filters_are_refused_before_anything_ARCH_7);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
