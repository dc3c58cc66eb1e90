/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of lib/daemon.c; each case runs in a process of its own (Check forks). */
#include <check.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/exitcode.h"

static const struct daemon_usage usage = {
	.program = "fad", .summary = "agent", .example = "  fad --config /etc/turnout/fad.yaml\n"};

static bool parse(struct daemon_options *o, int *status, const char *a, const char *b, const char *c)
{
	char *argv[] = {(char *)"fad", (char *)a, (char *)b, (char *)c, NULL};
	int argc = 1;

	while (argv[argc] != NULL)
		argc++;
	return daemon_parse(o, argc, argv, &usage, status);
}

START_TEST(options_and_defaults)
{
	struct daemon_options o;
	int status = -1;

	ck_assert(parse(&o, &status, "--config", "x.yaml", NULL));
	ck_assert_str_eq(o.config, "x.yaml");
	ck_assert_str_eq(o.run_dir, DAEMON_RUN_DIR);
	ck_assert_str_eq(o.name, "fad");
	ck_assert(!o.debug && !o.check);
	ck_assert(parse(&o, &status, "--config=x.yaml", "--name=fad-2", "--check"));
	ck_assert_str_eq(o.name, "fad-2");
	ck_assert(o.check);
	ck_assert(parse(&o, &status, "--config=x.yaml", "--run-dir=/tmp/r", "--debug"));
	ck_assert_str_eq(o.run_dir, "/tmp/r");
	ck_assert(o.debug);
}
END_TEST

START_TEST(wrong_command_lines_are_usage_errors)
{
	static const char *const lines[][3] = {
		{NULL, NULL, NULL},
		{"--config", NULL, NULL},
		{"--bogus", NULL, NULL},
		{"--config=x", "y", NULL},
		{"--config=x", "--name=", NULL},
		{"--config=x", "--name=a/b", NULL},
		{"--config=x", "--name=..", NULL},
		{"--config=x", "--run-dir=", NULL},
	};
	struct daemon_options o;

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		int status = -1;

		ck_assert_msg(!parse(&o, &status, lines[i][0], lines[i][1], lines[i][2]), "line %zu was taken", i);
		ck_assert_int_eq(status, EXITCODE_USAGE);
	}
}
END_TEST

START_TEST(help_and_version_end_well)
{
	struct daemon_options o;
	int status = -1;

	ck_assert(!parse(&o, &status, "--help", NULL, NULL));
	ck_assert_int_eq(status, EXITCODE_OK);
	status = -1;
	ck_assert(!parse(&o, &status, "--version", NULL, NULL));
	ck_assert_int_eq(status, EXITCODE_OK);
}
END_TEST

static void count_reload(void *ctx)
{
	++*(int *)ctx;
}

START_TEST(signals_reload_and_end_the_loop)
{
	sd_event *loop;
	int reloads = 0;

	ck_assert_int_ge(sd_event_default(&loop), 0);
	ck_assert_int_ge(daemon_signals(loop, count_reload, &reloads), 0);
	ck_assert_int_eq(kill(getpid(), SIGHUP), 0);
	ck_assert_int_gt(sd_event_run(loop, 1000000), 0);
	ck_assert_int_eq(reloads, 1);
	ck_assert_int_eq(kill(getpid(), SIGTERM), 0);
	ck_assert_int_eq(sd_event_loop(loop), 0);
	sd_event_unref(loop);
}
END_TEST

START_TEST(first_signal_may_take_its_time)
{
	sd_event *loop;
	int asked = 0;

	ck_assert_int_ge(sd_event_default(&loop), 0);
	ck_assert_int_ge(daemon_signals_end(loop, NULL, count_reload, &asked), 0);
	for (int i = 1; i <= 2; i++) {
		ck_assert_int_eq(kill(getpid(), i == 1 ? SIGTERM : SIGINT), 0);
		ck_assert_int_gt(sd_event_run(loop, 1000000), 0);
		ck_assert_int_eq(asked, i);
		ck_assert_int_ne(sd_event_get_state(loop), SD_EVENT_FINISHED);
	}
	sd_event_unref(loop);
}
END_TEST

static uint64_t status_caps(const char *field)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long long v = ~0ull;
	char line[256];

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			v = strtoull(line + strlen(field) + 1, NULL, 16);
	fclose(f);
	return v;
}

START_TEST(capabilities_kept_and_dropped)
{
	static const int keep[] = {CAP_NET_RAW};
	static const int lost[] = {CAP_NET_RAW, CAP_NET_ADMIN};

	if ((status_caps("CapEff:") & (1u << CAP_NET_RAW)) == 0)
		return; /* not as root: only the failure below can be seen */
	ck_assert_int_eq(daemon_drop_capabilities(keep, 1), EXITCODE_OK);
	ck_assert_uint_eq(status_caps("CapEff:"), 1u << CAP_NET_RAW);
	ck_assert_uint_eq(status_caps("CapPrm:"), 1u << CAP_NET_RAW);
	ck_assert_uint_eq(status_caps("CapInh:"), 0);
	ck_assert_uint_eq(status_caps("CapBnd:"), 1u << CAP_NET_RAW);
	ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	ck_assert_int_eq(daemon_drop_capabilities(lost, 2), EXITCODE_PRIVILEGE);
}
END_TEST

START_TEST(no_capabilities_needs_none)
{
	ck_assert_int_eq(daemon_drop_capabilities(NULL, 0), EXITCODE_OK);
	ck_assert_uint_eq(status_caps("CapEff:"), 0);
	ck_assert_uint_eq(status_caps("CapPrm:"), 0);
	ck_assert_int_eq(daemon_drop_capabilities(NULL, 0), EXITCODE_OK);
}
END_TEST

START_TEST(ready_is_notified)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char text[128] = "";
	sd_event *loop;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				    (size_t)snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "turnout-test-%d",
						     (int)getpid()));
	char env[128];

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, len), 0);
	snprintf(env, sizeof(env), "@%s", un.sun_path + 1);
	setenv("NOTIFY_SOCKET", env, 1);
	ck_assert_int_ge(sd_event_default(&loop), 0);
	daemon_ready(loop, "serving");
	ck_assert_int_gt(recv(fd, text, sizeof(text) - 1, 0), 0);
	ck_assert_str_eq(text, "READY=1\nSTATUS=serving");
	sd_event_unref(loop);
	close(fd);
}
END_TEST

START_TEST(clock_and_randomness)
{
	uint64_t a = daemon_now_ms(), words[4] = {0};

	ck_assert_uint_gt(a, 0);
	ck_assert_uint_ge(daemon_now_ms(), a);
	daemon_random(NULL, words, sizeof(words));
	ck_assert(words[0] != words[1] && words[2] != words[3]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("daemon");
	TCase *tc = tcase_create("daemon");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, options_and_defaults);
	tcase_add_test(tc, wrong_command_lines_are_usage_errors);
	tcase_add_test(tc, help_and_version_end_well);
	tcase_add_test(tc, signals_reload_and_end_the_loop);
	tcase_add_test(tc, first_signal_may_take_its_time);
	tcase_add_test(tc, capabilities_kept_and_dropped);
	tcase_add_test(tc, no_capabilities_needs_none);
	tcase_add_test(tc, ready_is_notified);
	tcase_add_test(tc, clock_and_randomness);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
