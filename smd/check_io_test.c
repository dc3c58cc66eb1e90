/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of health checks, against real sockets on the loopback: one that
 * listens, one that refuses, one that never answers.
 */
#include <check.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "smd/check_io.h"

#define LISTENING 0u
#define REFUSING  1u
#define SILENT    2u
#define TARGETS   3u

struct fixture {
	sd_event *loop;
	unsigned good[TARGETS], bad[TARGETS];
	char text[TARGETS][64];
	bool own;
};

static void on_result(void *ctx, size_t number, bool good, const char *text)
{
	struct fixture *f = ctx;

	ck_assert_uint_lt(number, TARGETS);
	ck_assert(f->own);
	f->good[number] += good;
	f->bad[number] += !good;
	snprintf(f->text[number], sizeof(f->text[number]), "%s", text);
}

static void on_own(void *ctx, const struct addr *addr)
{
	struct fixture *f = ctx;
	char buf[ADDR_STRLEN];

	ck_assert(addr->family == 4 || addr->family == 6);
	ck_assert_msg(!addr_is_zero(addr), "own address %s", addr_print(addr, buf));
	f->own = true;
}

static const struct check_handler handler = {.result = on_result, .own = on_own};

/* A bound socket; its port. */
static int bound(const char *text, struct addr *a, uint16_t *port)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd;

	ck_assert(addr_parse(text, a));
	len = (socklen_t)addr_to_sockaddr(a, 0, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&ss, len), 0);
	len = sizeof(ss);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	ck_assert(addr_from_sockaddr(&ss, a, port));
	return fd;
}

static void run(struct fixture *f, uint64_t ms)
{
	uint64_t end = daemon_now_ms() + ms;

	for (uint64_t now = daemon_now_ms(); now < end; now = daemon_now_ms())
		ck_assert_int_ge(sd_event_run(f->loop, (end - now) * 1000), 0);
}

/* A listener whose queue is full: the kernel drops further SYNs. */
static int silent(struct check_target *t, int fill[4])
{
	int fd = bound("127.0.0.1", &t->addr, &t->port);
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)addr_to_sockaddr(&t->addr, t->port, &ss);

	ck_assert_int_eq(listen(fd, 0), 0);
	for (int i = 0; i < 4; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fill[i], (struct sockaddr *)&ss, len);
	}
	return fd;
}

START_TEST(test_good_refused_and_silent_servers_SVC_2)
{
	struct check_target t[TARGETS] = {{.interval_ms = 100, .timeout_ms = 100},
					  {.interval_ms = 100, .timeout_ms = 100},
					  {.interval_ms = 100, .timeout_ms = 60}};
	struct fixture f = {0};
	struct checker *c;
	int fds[3], fill[4];

	fds[0] = bound(_i ? "::1" : "127.0.0.1", &t[LISTENING].addr, &t[LISTENING].port);
	fds[1] = bound("127.0.0.1", &t[REFUSING].addr, &t[REFUSING].port); /* bound, but not listening */
	fds[2] = silent(&t[SILENT], fill);
	ck_assert_int_eq(listen(fds[0], 1000), 0);
	ck_assert_int_ge(sd_event_new(&f.loop), 0);
	ck_assert_int_eq(checker_new(&c, f.loop, t, TARGETS, &handler, &f), 0);
	run(&f, 1050);
	ck_assert_uint_ge(f.good[LISTENING], 7);
	ck_assert_uint_le(f.good[LISTENING], 13);
	ck_assert_uint_eq(f.bad[LISTENING], 0);
	ck_assert_uint_ge(f.bad[REFUSING], 7);
	ck_assert_uint_eq(f.good[REFUSING], 0);
	ck_assert_uint_ge(f.bad[SILENT], 6);
	ck_assert_uint_eq(f.good[SILENT], 0);
	ck_assert_msg(!strncmp(f.text[LISTENING], "connected in ", 13), "%s", f.text[LISTENING]);
	ck_assert_str_eq(f.text[REFUSING], "Connection refused");
	ck_assert_str_eq(f.text[SILENT], "no answer within 60 ms");
	ck_assert_int_eq(close(fds[0]), 0); /* it dies */
	f.bad[LISTENING] = 0;
	run(&f, 300);
	ck_assert_uint_ge(f.bad[LISTENING], 2);
	checker_free(c);
	sd_event_unref(f.loop);
	close(fds[1]);
	close(fds[2]);
	for (int i = 0; i < 4; i++)
		close(fill[i]);
}
END_TEST

static void do_run(const char *command)
{
	ck_assert_msg(system(command) == 0, "%s", command); /* NOLINT(cert-env33-c): a fixed text */
}

/* A namespace of our own in which a server is reachable until the route to it goes. */
static void enter_namespace(void)
{
	ck_assert_msg(unshare(CLONE_NEWNET) == 0, "needs root");
	do_run("ip link set lo up && ip address add 198.51.100.1/32 dev lo");
}

/* Routes of this host say nothing about the server; what a router says of it does. */
START_TEST(test_missing_route_is_no_result_SVC_2)
{
	static const char *const lost[] = {"ip route del local 198.51.100.1 dev lo table local",
					   "ip route add unreachable 198.51.100.1 table local metric 0",
					   "ip route replace prohibit 198.51.100.1 table local"};
	struct check_conf http = {.path = NULL, .method = CHECK_HEAD};
	struct check_target t = {.interval_ms = 50, .timeout_ms = 50, .type = _i % 2 ? CHECK_HTTP : CHECK_TCP};
	struct fixture f = {0};
	struct checker *c;
	unsigned good, bad;
	int fd;

	enter_namespace();
	t.conf = &http;
	fd = bound("198.51.100.1", &t.addr, &t.port);
	ck_assert_int_eq(listen(fd, 1000), 0);
	ck_assert_int_ge(sd_event_new(&f.loop), 0);
	ck_assert_int_eq(checker_new(&c, f.loop, &t, 1, &handler, &f), 0);
	run(&f, 300);
	ck_assert_uint_ge(f.good[0] + f.bad[0], 2); /* nobody answers HTTP here */
	good = f.good[0];
	bad = f.bad[0];
	do_run(lost[0]);
	if (_i / 2)
		do_run(lost[_i / 2]);
	run(&f, 300);
	ck_assert_uint_le(f.good[0] + f.bad[0], good + bad + 1); /* one may have been under way */
	checker_free(c);
	/* Never checked: it cannot be counted on. */
	memset(f.bad, 0, sizeof(f.bad));
	ck_assert_int_eq(checker_new(&c, f.loop, &t, 1, &handler, &f), 0);
	f.own = true;
	run(&f, 300);
	ck_assert_uint_eq(f.bad[0], 1);
	checker_free(c);
	sd_event_unref(f.loop);
	close(fd);
}
END_TEST

/* The neighbour does not answer: that is about the server. */
START_TEST(test_silent_neighbour_is_a_result_SVC_2)
{
	struct check_target t = {.port = 80, .interval_ms = 3500, .timeout_ms = 3400};
	struct fixture f = {0};
	struct checker *c;

	enter_namespace();
	do_run("ip link add v0 type veth peer name v1 && ip link set v1 up && ip link set v0 up && "
	       "ip address add 203.0.113.1/24 dev v0 && sysctl -qw net.ipv4.neigh.v0.retrans_time_ms=50");
	ck_assert(addr_parse("203.0.113.2", &t.addr));
	ck_assert_int_ge(sd_event_new(&f.loop), 0);
	ck_assert_int_eq(checker_new(&c, f.loop, &t, 1, &handler, &f), 0);
	run(&f, 8000);
	ck_assert_uint_ge(f.bad[0], 2);
	ck_assert_uint_eq(f.good[0], 0);
	checker_free(c);
	sd_event_unref(f.loop);
}
END_TEST

/* ---- many ---- */

#define MANY 700u

struct many {
	unsigned results[MANY];
	unsigned done;
};

static void on_one_of_many(void *ctx, size_t number, bool good, const char *text)
{
	struct many *m = ctx;

	ck_assert_uint_lt(number, MANY);
	(void)good;
	(void)text;
	m->done += m->results[number]++ == 0;
}

static void on_own_of_many(void *ctx, const struct addr *addr)
{
	(void)ctx;
	(void)addr;
}

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* More servers that never answer than connections at a time: each has its turn. */
START_TEST(test_ARCH_10_no_more_connections_at_a_time_than_the_limit_SVC_2)
{
	static const struct check_handler counting = {.result = on_one_of_many, .own = on_own_of_many};
	struct check_target t[MANY] = {{.interval_ms = 60000, .timeout_ms = 500}};
	unsigned before, most = 0;
	struct many m = {0};
	sd_event *loop;
	struct checker *c;
	int fd, fill[4];

	fd = silent(&t[0], fill);
	for (size_t i = 1; i < MANY; i++)
		t[i] = t[0];
	before = open_descriptors();
	ck_assert_int_ge(sd_event_new(&loop), 0);
	ck_assert_int_eq(checker_new(&c, loop, t, MANY, &counting, &m), 0);
	for (uint64_t end = daemon_now_ms() + 15000; m.done < MANY && daemon_now_ms() < end;) {
		unsigned now = open_descriptors();

		most = now > most ? now : most;
		ck_assert_int_ge(sd_event_run(loop, 20000), 0);
	}
	ck_assert_uint_eq(m.done, MANY);
	ck_assert_uint_ge(most, 500);
	ck_assert_uint_le(most, before + 512 + 4); /* and the loop's own */
	checker_free(c);
	sd_event_unref(loop);
	close(fd);
	for (int i = 0; i < 4; i++)
		close(fill[i]);
}
END_TEST

START_TEST(test_nothing_to_check)
{
	struct fixture f = {0};
	struct checker *c;

	ck_assert_int_ge(sd_event_new(&f.loop), 0);
	ck_assert_int_eq(checker_new(&c, f.loop, NULL, 0, &handler, &f), 0);
	run(&f, 20);
	checker_free(c);
	checker_free(NULL);
	sd_event_unref(f.loop);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("check_io");
	TCase *tc = tcase_create("check_io");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, test_good_refused_and_silent_servers_SVC_2, 0, 2);
	tcase_add_loop_test(tc, test_missing_route_is_no_result_SVC_2, 0, 6);
	tcase_add_test(tc, test_silent_neighbour_is_a_result_SVC_2);
	tcase_add_test(tc, test_ARCH_10_no_more_connections_at_a_time_than_the_limit_SVC_2);
	tcase_add_test(tc, test_nothing_to_check);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
