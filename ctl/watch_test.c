/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of what is pure of turnoutctl watch, trace and server.
 */
#include "ctl/watch.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "lib/addr.h"

START_TEST(events_become_rows_ARCH_7)
{
	char *prefixes[] = {(char *)(uintptr_t) "203.0.113.10/32"};
	Turnout__Event event = TURNOUT__EVENT__INIT;
	Turnout__Advertise change = TURNOUT__ADVERTISE__INIT;
	Turnout__Heartbeat beat = TURNOUT__HEARTBEAT__INIT;
	struct watch_row rows[WATCH_ROWS];

	change.n_remove = 1;
	change.remove = prefixes;
	event.what_case = TURNOUT__EVENT__WHAT_ADVERTISE;
	event.advertise = &change;
	ck_assert_uint_eq(watch_event(&event, rows), 1);
	ck_assert_str_eq(rows[0].row.subject, "203.0.113.10/32");
	ck_assert_str_eq(rows[0].row.text, "no longer wanted in routing");
	event.what_case = TURNOUT__EVENT__WHAT_HEARTBEAT;
	event.heartbeat = &beat;
	ck_assert_uint_eq(watch_event(&event, rows), 0);
}
END_TEST

START_TEST(more_prefixes_than_rows_are_summed_up_ARCH_10)
{
	char *prefixes[2 * WATCH_ROWS];
	Turnout__Event event = TURNOUT__EVENT__INIT;
	Turnout__Advertise change = TURNOUT__ADVERTISE__INIT;
	struct watch_row rows[WATCH_ROWS];

	for (size_t i = 0; i < 2 * WATCH_ROWS; i++)
		prefixes[i] = (char *)(uintptr_t) "203.0.113.10/32";
	change.n_add = 2 * WATCH_ROWS;
	change.add = prefixes;
	event.what_case = TURNOUT__EVENT__WHAT_ADVERTISE;
	event.advertise = &change;
	ck_assert_uint_eq(watch_event(&event, rows), WATCH_ROWS);
	ck_assert_ptr_nonnull(strstr(rows[WATCH_ROWS - 1].row.text, "and 65 prefixes more"));
}
END_TEST

START_TEST(missed_events_are_counted_ARCH_7)
{
	struct watch_sequence s = {0};

	ck_assert_uint_eq(watch_missed(&s, 100), 0); /* came late */
	ck_assert_uint_eq(watch_missed(&s, 101), 0);
	ck_assert_uint_eq(watch_missed(&s, 104), 2);
	ck_assert_uint_eq(watch_missed(&s, 1), 0); /* started again */
}
END_TEST

START_TEST(endpoints_of_a_trace_ARCH_7)
{
	char host[ADDR_STRLEN];
	uint32_t port;

	ck_assert(trace_endpoint("10.0.1.11:4000", host, &port) && port == 4000);
	ck_assert_str_eq(host, "10.0.1.11");
	ck_assert(trace_endpoint("[2001:db8::1]:80", host, &port) && port == 80);
	ck_assert_str_eq(host, "2001:db8::1");
	ck_assert(trace_endpoint("2001:db8::1", host, &port) && port == 0);
	ck_assert(!trace_endpoint("10.0.1.11:65536", host, &port));
	ck_assert(!trace_endpoint("10.0.1.11:", host, &port));
	ck_assert(!trace_endpoint("[10.0.1.11]:80", host, &port));
	ck_assert(!trace_endpoint("[2001:db8::1]80", host, &port));
	ck_assert(!trace_endpoint("web1:80", host, &port));
	ck_assert(!trace_endpoint("", host, &port));
}
END_TEST

START_TEST(servers_may_name_their_service_ARCH_7)
{
	char service[8];
	const char *name;

	ck_assert(server_split("web/s1", service, sizeof(service), &name));
	ck_assert_str_eq(service, "web");
	ck_assert_str_eq(name, "s1");
	ck_assert(server_split("s1", service, sizeof(service), &name));
	ck_assert_str_eq(service, "");
	ck_assert(!server_split("web/", service, sizeof(service), &name));
	ck_assert(!server_split("/s1", service, sizeof(service), &name));
	ck_assert(!server_split("very-long-name/s1", service, sizeof(service), &name));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("watch");
	TCase *t = tcase_create("watch");
	SRunner *r;
	int failed;

	tcase_add_test(t, events_become_rows_ARCH_7);
	tcase_add_test(t, more_prefixes_than_rows_are_summed_up_ARCH_10);
	tcase_add_test(t, missed_events_are_counted_ARCH_7);
	tcase_add_test(t, endpoints_of_a_trace_ARCH_7);
	tcase_add_test(t, servers_may_name_their_service_ARCH_7);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
