/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of reading FRRouting's table and of comparing it with the kernel's,
 * and of finding it.  The documents are shaped as FRRouting 8.4 prints them.
 */
#include <check.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/exitcode.h"
#include "routed-glue/frr_audit.h"
#include "routed-glue/frr_io.h"

static const char document[] =
	"{\"203.0.113.10/32\":[{\"prefix\":\"203.0.113.10/32\",\"protocol\":\"kernel\",\"vrfId\":0,\"selected\":true,"
	"\"table\":254,\"nexthops\":[{\"flags\":3,\"interfaceName\":\"vip0\",\"active\":true}]}],"
	/* out of another interface */
	"\"203.0.113.11/32\":[{\"protocol\":\"kernel\",\"vrfId\":0,\"selected\":true,\"table\":254,"
	"\"nexthops\":[{\"interfaceName\":\"lan\"}]}],"
	/* not the one in use */
	"\"203.0.113.12/32\":[{\"protocol\":\"kernel\",\"vrfId\":0,\"table\":254,"
	"\"nexthops\":[{\"interfaceName\":\"vip0\"}]}],"
	/* another VRF, another table, another protocol */
	"\"203.0.113.13/32\":[{\"protocol\":\"kernel\",\"vrfId\":7,\"selected\":true,\"table\":254,"
	"\"nexthops\":[{\"interfaceName\":\"vip0\"}]}],"
	"\"203.0.113.14/32\":[{\"protocol\":\"kernel\",\"vrfId\":0,\"selected\":true,\"table\":100,"
	"\"nexthops\":[{\"interfaceName\":\"vip0\"}]}],"
	"\"203.0.113.15/32\":[{\"protocol\":\"static\",\"vrfId\":0,\"selected\":true,\"table\":254,"
	"\"nexthops\":[{\"interfaceName\":\"vip0\"}]}],"
	/* the second of two */
	"\"203.0.113.16/32\":[{\"protocol\":\"bgp\"},{\"protocol\":\"kernel\",\"selected\":true,"
	"\"nexthops\":[{\"interfaceName\":\"x\"},{\"interfaceName\":\"vip0\"}]}],"
	"\"0.0.0.0/0\":[{\"protocol\":\"kernel\",\"selected\":true,\"nexthops\":[{\"interfaceName\":\"vip0\"}]}]}\n";

static struct prefix prefix(const char *text)
{
	struct prefix p;

	ck_assert_ptr_null(prefix_parse(text, &p));
	return p;
}

START_TEST(test_ACT_3_only_our_routes_are_taken_from_frr)
{
	struct frr_table t = {0};
	char text[PREFIX_STRLEN];

	ck_assert(frr_table_add(&t, document, strlen(document), "vip0"));
	frr_table_sort(&t);
	ck_assert_uint_eq(t.count, 2);
	ck_assert_str_eq(prefix_print(&t.prefixes[0], text), "203.0.113.10/32");
	ck_assert_str_eq(prefix_print(&t.prefixes[1], text), "203.0.113.16/32");
	ck_assert(frr_table_add(&t, document, strlen(document), "vip0"));
	ck_assert(frr_table_add(&t, "{\n}\n", 4, "vip0"));
	frr_table_sort(&t);
	ck_assert_uint_eq(t.count, 2);
	frr_table_free(&t);
}
END_TEST

START_TEST(test_frr_answers_that_are_no_table)
{
	static const char *const odd[] = {
		"", "% Unknown command", "[]", "{\"a\":", "{\"203.0.113.1/32\":[]} x",
	};
	/* Odd, but a table: nothing of it is ours. */
	static const char *const harmless[] = {
		"{}",
		"{\"203.0.113.1/32\":7}",
		"{\"203.0.113.1/32\":[7,null,[]]}",
		"{\"203.0.113.1/32\":[{\"protocol\":3,\"selected\":true,\"nexthops\":\"vip0\"}]}",
		"{\"x\":[{\"protocol\":\"kernel\",\"selected\":true,\"nexthops\":[{\"interfaceName\":\"vip0\"}]}]}",
	};
	struct frr_table t = {0};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		ck_assert_msg(!frr_table_add(&t, odd[i], strlen(odd[i]), "vip0"), "%s", odd[i]);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		ck_assert_msg(frr_table_add(&t, harmless[i], strlen(harmless[i]), "vip0"), "%s", harmless[i]);
	ck_assert_uint_eq(t.count, 0);
	ck_assert(!frr_table_has(&t, &(struct prefix){.plen = 1}));
	/* Cut off anywhere it is no table, and nothing leaks or crashes. */
	for (size_t len = 0; len < strlen(document) - 2; len++)
		ck_assert(!frr_table_add(&t, document, len, "vip0"));
	frr_table_free(&t);
}
END_TEST

/* Wanted and in the kernel: 1 and 2.  FRR has what the test says. */
struct fixture {
	struct wanted *w;
	struct view *v;
	struct frr_table has;
	struct frr_audit audit;
};

static struct fixture setup(void)
{
	static const struct wanted_limits limits = {.prefixes = 100, .flap_refill_ms = 1};
	struct fixture f = {.w = wanted_new(&limits), .v = view_new(0)};
	const char *const text[] = {"203.0.113.1/32", "2001:db8::2/128"};
	bool changed;

	for (int i = 0; i < 2; i++) {
		struct prefix p = prefix(text[i]);
		struct route_op add = {ROUTE_ADD, {.prefix = p, .metric = route_metric(p.addr.family, 0)}};

		ck_assert(wanted_add(f.w, 0, &p));
		view_result(f.v, &add, 0);
	}
	wanted_step(f.w, 1, &changed);
	f.has.prefixes = calloc(4, sizeof(*f.has.prefixes));
	return f;
}

static void teardown(struct fixture *f)
{
	wanted_free(f->w);
	view_free(f->v);
	frr_table_free(&f->has);
	frr_audit_free(&f->audit);
}

static ssize_t compare(struct fixture *f, struct route_op **ops, bool *again)
{
	frr_table_sort(&f->has);
	return frr_audit_compare(&f->audit, f->w, f->v, 0, &f->has, ops, again);
}

START_TEST(test_ACT_3_equal_tables_need_nothing)
{
	struct fixture f = setup();
	struct route_op *ops;
	bool again;

	f.has.prefixes[f.has.count++] = prefix("203.0.113.1/32");
	f.has.prefixes[f.has.count++] = prefix("2001:db8::2/128");
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(compare(&f, &ops, &again), 0);
		ck_assert(!again);
		free(ops);
	}
	teardown(&f);
}
END_TEST

START_TEST(test_ACT_3_route_that_frr_missed_is_put_in_again)
{
	struct fixture f = setup();
	struct route_op *ops;
	bool again;

	f.has.prefixes[f.has.count++] = prefix("203.0.113.1/32");
	ck_assert_int_eq(compare(&f, &ops, &again), 0); /* it may only be late */
	ck_assert(again);
	free(ops);
	ck_assert_int_eq(compare(&f, &ops, &again), 2);
	ck_assert(!again);
	ck_assert(ops[0].kind == ROUTE_DELETE && ops[1].kind == ROUTE_ADD);
	ck_assert_uint_eq(ops[0].route.prefix.addr.family, 6);
	ck_assert_uint_eq(ops[1].route.metric, 1024);
	free(ops);
	f.has.prefixes[f.has.count++] = prefix("2001:db8::2/128");
	ck_assert_int_eq(compare(&f, &ops, &again), 0);
	ck_assert(!again);
	free(ops);
	teardown(&f);
}
END_TEST

START_TEST(test_ACT_3_ghost_in_frr_is_taken_out)
{
	struct fixture f = setup();
	struct route_op *ops;
	bool again;

	f.has.prefixes[f.has.count++] = prefix("203.0.113.1/32");
	f.has.prefixes[f.has.count++] = prefix("203.0.113.99/32");
	f.has.prefixes[f.has.count++] = prefix("2001:db8::2/128");
	ck_assert_int_eq(compare(&f, &ops, &again), 0);
	ck_assert(again);
	free(ops);
	ck_assert_int_eq(compare(&f, &ops, &again), 2);
	ck_assert(ops[0].kind == ROUTE_ADD && ops[1].kind == ROUTE_DELETE);
	ck_assert_uint_eq(ops[0].route.prefix.addr.b[3], 99);
	free(ops);
	teardown(&f);
}
END_TEST

START_TEST(test_ACT_3_conflict_is_not_missing_in_frr)
{
	struct fixture f = setup();
	struct prefix p = prefix("203.0.113.1/32");
	struct route_op add = {ROUTE_ADD, {.prefix = p}}, *ops;
	bool again;

	view_result(f.v, &add, 17); /* EEXIST: somebody else's */
	f.has.prefixes[f.has.count++] = prefix("2001:db8::2/128");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(compare(&f, &ops, &again), 0);
		ck_assert(!again);
		free(ops);
	}
	/* Nor is what FRR has of it ours to touch: adding it would fail. */
	f.has.prefixes[f.has.count++] = p;
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(compare(&f, &ops, &again), 0);
		free(ops);
	}
	teardown(&f);
}
END_TEST

/* ---- is it there? ---- */

/* A socket in this directory with this mode; not listening: what a dead daemon leaves behind. */
static int leave_socket(const char *dir, const char *name, mode_t mode, bool listening)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", dir, name);
	unlink(un.sun_path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(chmod(un.sun_path, mode), 0);
	if (listening)
		ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

/* As a user without any right. */
static int present_to_nobody(const char *dir)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
			_exit(255);
		_exit(frr_present(dir));
	}
	ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(test_ACT_3_frr_is_found_by_who_may_not_use_its_own_socket)
{
	char dir[] = "/tmp/frr_test.XXXXXX", path[64];
	int api, vty;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chmod(dir, 0755), 0);
	ck_assert_int_eq(present_to_nobody(dir), EXITCODE_FRR);
	api = leave_socket(dir, "zserv.api", 0700, false);
	ck_assert_int_eq(present_to_nobody(dir), EXITCODE_FRR); /* left behind */
	vty = leave_socket(dir, "zebra.vty", 0777, false);
	ck_assert_int_eq(present_to_nobody(dir), EXITCODE_FRR); /* both */
	close(vty);
	vty = leave_socket(dir, "zebra.vty", 0777, true);
	ck_assert_int_eq(present_to_nobody(dir), EXITCODE_OK);
	close(vty);
	vty = leave_socket(dir, "zebra.vty", 0700, true);
	ck_assert_int_eq(present_to_nobody(dir), EXITCODE_OK); /* who knows? */
	ck_assert_int_eq(chmod(dir, 0700), 0);
	ck_assert_int_eq(present_to_nobody(dir), EXITCODE_OK);
	close(vty);
	close(api);
	snprintf(path, sizeof(path), "%s/zebra.vty", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/zserv.api", dir);
	unlink(path);
	rmdir(dir);
}
END_TEST

/* ---- what has it? ---- */

struct asked {
	unsigned answers;
	int error;
};

static void on_table(void *ctx, const struct frr_table *table, int error)
{
	struct asked *a = ctx;

	ck_assert(!table || error == 0);
	a->answers++;
	a->error = error;
}

/* Accepts, and writes without an end. */
static void talk(int listener)
{
	char noise[65536];
	int fd = accept(listener, NULL, NULL);

	memset(noise, 'x', sizeof(noise));
	while (fd >= 0 && send(fd, noise, sizeof(noise), MSG_NOSIGNAL) > 0)
		;
	_exit(0);
}

START_TEST(test_ARCH_10_answer_of_frr_without_an_end_is_given_up)
{
	char dir[] = "/tmp/frr_test.XXXXXX", path[64];
	struct asked a = {0};
	sd_event *loop;
	struct frr *f;
	pid_t pid;
	int vty;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	vty = leave_socket(dir, "zebra.vty", 0700, true);
	pid = fork();
	if (pid == 0)
		talk(vty);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_ge(sd_event_new(&loop), 0);
	ck_assert_int_eq(frr_open(&f, loop, dir, "vip0", on_table, &a), 0);
	frr_ask(f);
	while (a.answers == 0)
		ck_assert_int_ge(sd_event_run(loop, 1000000), 0);
	ck_assert_int_eq(a.error, -EMSGSIZE);
	frr_close(f);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid); /* it was hung up on */
	sd_event_unref(loop);
	close(vty);
	snprintf(path, sizeof(path), "%s/zebra.vty", dir);
	unlink(path);
	rmdir(dir);
}
END_TEST

START_TEST(answers_on_a_vty_socket_end_with_their_result)
{
	static const char good[] = "{}\0\0\0", bad[] = "{}\0\0\0\1";
	size_t text = 9;

	for (size_t len = 0; len < sizeof(good); len++)
		ck_assert_int_eq(frr_answer_end(good, len, &text), FRR_ANSWER_PART);
	ck_assert_uint_eq(text, 9);
	ck_assert_int_eq(frr_answer_end(good, sizeof(good), &text), FRR_ANSWER_GOOD);
	ck_assert_uint_eq(text, 2);
	ck_assert_int_eq(frr_answer_end(bad, sizeof(bad) - 1, &text), FRR_ANSWER_REFUSED);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("frr");
	TCase *tc = tcase_create("frr");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_ACT_3_only_our_routes_are_taken_from_frr);
	tcase_add_test(tc, test_frr_answers_that_are_no_table);
	tcase_add_test(tc, test_ACT_3_equal_tables_need_nothing);
	tcase_add_test(tc, test_ACT_3_route_that_frr_missed_is_put_in_again);
	tcase_add_test(tc, test_ACT_3_ghost_in_frr_is_taken_out);
	tcase_add_test(tc, test_ACT_3_conflict_is_not_missing_in_frr);
	tcase_add_test(tc, test_ACT_3_frr_is_found_by_who_may_not_use_its_own_socket);
	tcase_add_test(tc, test_ARCH_10_answer_of_frr_without_an_end_is_given_up);
	tcase_add_test(tc, answers_on_a_vty_socket_end_with_their_result);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
