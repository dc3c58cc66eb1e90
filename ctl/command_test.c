/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of turnoutctl as a whole: what it says to a command line, and to
 * daemons that answer, are silent, or die.  Daemons are child processes with
 * a real admin bus in a directory made for each test.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/ctl.h"

#define MAX_CHILDREN 4

struct run {
	enum exitcode status;
	char *out, *err;
};

/* A run of turnoutctl with these words. */
static struct run run(const char *const *words)
{
	struct run r = {0};
	size_t out_size, err_size;
	FILE *out = open_memstream(&r.out, &out_size), *err = open_memstream(&r.err, &err_size);
	char *argv[32] = {(char *)(uintptr_t) "turnoutctl"};
	int argc = 1;

	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	r.status = ctl_run(argc, argv, out, err);
	fclose(out);
	fclose(err);
	return r;
}
#define RUN(...) run((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void done(struct run *r)
{
	free(r->out);
	free(r->err);
}

/* Refused with one line on the error stream that has this text, and nothing printed. */
static void is_error(struct run r, enum exitcode status, const char *text)
{
	ck_assert_int_eq(r.status, status);
	ck_assert_str_eq(r.out, "");
	ck_assert_int_eq(strncmp(r.err, "turnoutctl: ", 12), 0);
	ck_assert_msg(strstr(r.err, text) != NULL, "'%s' is not in: %s", text, r.err);
	ck_assert_ptr_eq(strchr(r.err, '\n'), r.err + strlen(r.err) - 1);
	done(&r);
}

/* ---- command lines ---- */

START_TEST(unknown_words_get_a_suggestion_ARCH_7)
{
	is_error(RUN("shw", "agents"), EXITCODE_USAGE, "unknown verb 'shw'; did you mean 'show'? There are: show, ");
	is_error(RUN("show", "agent"), EXITCODE_USAGE, "unknown listing 'agent'; did you mean 'agents'?");
	is_error(RUN("show", "zebras"), EXITCODE_USAGE, "unknown listing 'zebras'; there are: agents, ");
	is_error(RUN("--jsn", "show", "agents"), EXITCODE_USAGE, "unknown option '--jsn'; did you mean '--json'?");
	is_error(RUN("show", "agents", "-x"), EXITCODE_USAGE, "unknown option '-x'; there are: --run-dir, ");
	is_error(RUN("help", "versoin"), EXITCODE_USAGE, "did you mean 'version'?");
}
END_TEST

START_TEST(usage_errors_say_what_is_wrong_ARCH_7)
{
	is_error(RUN("show"), EXITCODE_USAGE, "which listing? There are: agents, ");
	is_error(RUN("show", "agents", "servers"), EXITCODE_USAGE, "'servers' is one word too many");
	is_error(RUN("version", "x"), EXITCODE_USAGE, "'x' is one word too many");
	is_error(RUN("show", "agents", "--from"), EXITCODE_USAGE, "--from needs a value");
	is_error(RUN("--run-dir", "", "version"), EXITCODE_USAGE, "--run-dir needs a directory");
	is_error(RUN("--json=yes", "version"), EXITCODE_USAGE, "--json takes no value");
	is_error(RUN("--from", "../smd", "show", "agents"), EXITCODE_USAGE, "'../smd' is not a daemon's name");
	is_error(RUN("--from", "a\x1b[2J", "show", "agents"), EXITCODE_USAGE, "'a?[2J' is not a daemon's name");
}
END_TEST

START_TEST(timeouts_are_checked)
{
	static const char *const bad[] = {"0", "-1", "", "1s", "600001", "99999999999999999999"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		is_error(RUN("--timeout", bad[i], "show", "agents"), EXITCODE_USAGE,
			 "a number of milliseconds from 1 to 600000 is needed");
}
END_TEST

START_TEST(without_words_it_explains_itself)
{
	struct run r = RUN();

	ck_assert_int_eq(r.status, EXITCODE_USAGE);
	ck_assert_str_eq(r.out, "");
	ck_assert_ptr_nonnull(strstr(r.err, "usage: turnoutctl VERB"));
	done(&r);
	r = RUN("--help");
	ck_assert_int_eq(r.status, EXITCODE_OK);
	ck_assert_str_eq(r.err, "");
	ck_assert_ptr_nonnull(strstr(r.out, "usage: turnoutctl VERB"));
	done(&r);
}
END_TEST

/* Each verb has a line in the overview, help of its own, and an example that is a good command line. */
START_TEST(every_verb_has_help_and_an_example_ARCH_7)
{
	struct run all = RUN("help");
	unsigned verbs = 0;

	for (const struct command *c = commands; c->name; c++, verbs++) {
		struct run r = RUN("help", c->name), same = RUN(c->name, "--help");
		char *words = strdup(c->example), *state, *argv[8] = {NULL};
		int argc = 0;

		ck_assert_int_eq(r.status, EXITCODE_OK);
		ck_assert_ptr_nonnull(strstr(all.out, c->help));
		ck_assert_ptr_nonnull(strstr(r.out, c->help));
		ck_assert_ptr_nonnull(strstr(r.out, "Example:\n  turnoutctl "));
		ck_assert_ptr_nonnull(strstr(r.out, c->example));
		ck_assert_str_eq(r.out, same.out);
		for (char *w = strtok_r(words, " ", &state); w; w = strtok_r(NULL, " ", &state))
			argv[argc++] = w;
		ck_assert_str_eq(argv[0], "turnoutctl");
		done(&same);
		same = run((const char *const *)argv + 1);
		ck_assert_int_ne(same.status, EXITCODE_USAGE);
		free(words);
		done(&same);
		done(&r);
	}
	ck_assert_uint_ge(verbs, 3);
	done(&all);
}
END_TEST

START_TEST(its_own_version)
{
	struct run r = RUN("--version");

	ck_assert_int_eq(r.status, EXITCODE_OK);
	ck_assert_str_eq(r.out, "turnoutctl " TURNOUT_VERSION "\n");
	done(&r);
}
END_TEST

/* ---- daemons ---- */

enum behaviour { ANSWERS, SILENT, DIES_BETWEEN_PAGES, KNOWS_NOTHING };

struct fixture {
	char dir[64];
	pid_t children[MAX_CHILDREN];
	size_t count;
};

struct daemon {
	enum behaviour behaviour;
	Turnout__AgentRow row, *rows[1];
	Turnout__CounterRow counter[2], *counters[2];
};

static const char *handle(void *ctx, const Turnout__Request *request, Turnout__Reply *reply)
{
	struct daemon *d = ctx;

	if (d->behaviour == KNOWS_NOTHING)
		return BUS_NOT_KNOWN;
	if (d->behaviour == DIES_BETWEEN_PAGES && request->cursor)
		kill(getpid(), SIGKILL);
	if (request->what_case == TURNOUT__REQUEST__WHAT_SHOW_AGENTS) {
		turnout__agent_row__init(&d->row);
		d->row.name = (char *)(uintptr_t)(request->cursor ? "second" : "first");
		d->rows[0] = &d->row;
		reply->agents = d->rows;
		reply->n_agents = 1;
		reply->next = request->cursor ? 0 : 1;
		return NULL;
	}
	if (request->what_case != TURNOUT__REQUEST__WHAT_SHOW_COUNTERS)
		return BUS_NOT_KNOWN;
	for (size_t i = 0; i < 2; i++) {
		turnout__counter_row__init(&d->counter[i]);
		d->counter[i].name = (char *)(uintptr_t)(i ? "seen" : "never");
		d->counter[i].value = 7 * i;
		d->counters[i] = &d->counter[i];
	}
	reply->counters = d->counters;
	reply->n_counters = 2;
	return NULL;
}

/* The child's whole life; says over the pipe when it serves. */
static void serve(const char *dir, const char *name, enum behaviour behaviour, int ready)
{
	struct daemon d = {.behaviour = behaviour};
	struct bus_server *server;
	sd_event *loop;

	if (bus_lock(dir, name) < 0 || sd_event_new(&loop) < 0 ||
	    bus_server_new(&server, loop, dir, name, handle, NULL, &d) < 0 || write(ready, "", 1) != 1)
		_exit(1);
	if (behaviour == SILENT)
		raise(SIGSTOP);
	sd_event_loop(loop);
	_exit(0);
}

static void start(struct fixture *f, const char *name, enum behaviour behaviour)
{
	int ready[2];
	char byte;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	f->children[f->count] = fork();
	ck_assert_int_ge(f->children[f->count], 0);
	if (f->children[f->count] == 0)
		serve(f->dir, name, behaviour, ready[1]);
	f->count++;
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static void stop_all(struct fixture *f)
{
	for (; f->count > 0; f->count--) {
		kill(f->children[f->count - 1], SIGKILL);
		waitpid(f->children[f->count - 1], NULL, 0);
	}
}

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "/tmp/turnout-ctl-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void teardown(struct fixture *f)
{
	stop_all(f);
	nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

START_TEST(pages_of_all_daemons_are_one_listing_ARCH_7)
{
	struct fixture f;
	struct run r;

	setup(&f);
	start(&f, "fad", ANSWERS);
	start(&f, "smd", ANSWERS);
	start(&f, "routed-glue", KNOWS_NOTHING);
	r = RUN("--run-dir", f.dir, "show", "agents");
	ck_assert_int_eq(r.status, EXITCODE_OK);
	ck_assert_str_eq(r.err, "");
	ck_assert_ptr_nonnull(strstr(r.out, "fad    first"));
	ck_assert_ptr_nonnull(strstr(r.out, "fad    second"));
	ck_assert_ptr_nonnull(strstr(r.out, "smd    second"));
	done(&r);
	r = RUN("--run-dir", f.dir, "--from", "smd", "--json", "show", "agents");
	ck_assert_int_eq(r.status, EXITCODE_OK);
	ck_assert_ptr_null(strstr(r.out, "\"fad\""));
	ck_assert_ptr_nonnull(strstr(r.out, "\"daemon\":\"smd\""));
	done(&r);
	is_error(RUN("--run-dir", f.dir, "--from", "routed-glue", "show", "agents"), EXITCODE_FAILURE,
		 "no daemon asked in");
	teardown(&f);
}
END_TEST

START_TEST(zeros_are_hidden_in_tables_only)
{
	struct fixture f;
	struct run r;

	setup(&f);
	start(&f, "fad", ANSWERS);
	r = RUN("--run-dir", f.dir, "show", "counters");
	ck_assert_ptr_nonnull(strstr(r.out, "seen"));
	ck_assert_ptr_null(strstr(r.out, "never"));
	done(&r);
	r = RUN("--run-dir", f.dir, "--all", "show", "counters");
	ck_assert_ptr_nonnull(strstr(r.out, "never"));
	done(&r);
	r = RUN("--run-dir", f.dir, "--json", "show", "counters");
	ck_assert_ptr_nonnull(strstr(r.out, "never"));
	done(&r);
	teardown(&f);
}
END_TEST

START_TEST(where_nobody_is_it_says_so_ARCH_7)
{
	struct fixture f;

	setup(&f);
	is_error(RUN("--run-dir", "/nonexistent", "show", "agents"), EXITCODE_UNREACHABLE,
		 "no daemon answers in /nonexistent; is fad or smd running? see --run-dir");
	is_error(RUN("--run-dir", f.dir, "show", "agents"), EXITCODE_UNREACHABLE, "no daemon answers in");
	is_error(RUN("--run-dir", f.dir, "--from", "fad", "show", "agents"), EXITCODE_UNREACHABLE,
		 "nor is any other daemon; start it, or see --run-dir");
	teardown(&f);
}
END_TEST

START_TEST(a_killed_daemon_is_told_from_a_living_one_ARCH_7)
{
	struct fixture f;

	setup(&f);
	start(&f, "fad", ANSWERS);
	stop_all(&f); /* its socket and pid file stay */
	is_error(RUN("--run-dir", f.dir, "show", "agents"), EXITCODE_UNREACHABLE, "sockets of dead daemons lie there");
	start(&f, "smd", ANSWERS);
	is_error(RUN("--run-dir", f.dir, "--from", "fad", "show", "agents"), EXITCODE_UNREACHABLE,
		 "fad is not running in");
	is_error(RUN("--run-dir", f.dir, "--from", "fad", "show", "agents"), EXITCODE_UNREACHABLE,
		 "running there: smd\n");
	teardown(&f);
}
END_TEST

START_TEST(a_silent_daemon_costs_the_timeout_only_ARCH_7)
{
	struct fixture f;

	setup(&f);
	start(&f, "fad", SILENT);
	is_error(RUN("--run-dir", f.dir, "--timeout", "300", "show", "agents"), EXITCODE_UNREACHABLE,
		 "did not answer in time; is it very busy or stopped? see --timeout");
	teardown(&f);
}
END_TEST

START_TEST(a_listing_cut_short_is_not_called_whole_ARCH_7)
{
	struct fixture f;
	struct run r;

	setup(&f);
	start(&f, "fad", DIES_BETWEEN_PAGES);
	r = RUN("--run-dir", f.dir, "show", "agents");
	ck_assert_int_eq(r.status, EXITCODE_UNREACHABLE);
	ck_assert_ptr_nonnull(strstr(r.out, "first"));
	ck_assert_ptr_nonnull(strstr(r.err, "the listing is not complete"));
	done(&r);
	teardown(&f);
}
END_TEST

START_TEST(several_run_directories_are_told_apart)
{
	struct fixture f, g;
	struct run r;

	setup(&f);
	setup(&g);
	start(&f, "fad", ANSWERS);
	start(&g, "fad", ANSWERS);
	r = RUN("--run-dir", f.dir, "--run-dir", g.dir, "show", "agents");
	ck_assert_int_eq(r.status, EXITCODE_OK);
	ck_assert_ptr_nonnull(strstr(r.out, f.dir));
	ck_assert_ptr_nonnull(strstr(r.out, g.dir));
	done(&r);
	teardown(&f);
	teardown(&g);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("command");
	TCase *line = tcase_create("line"), *daemons = tcase_create("daemons");
	SRunner *sr;
	int failed;

	tcase_add_test(line, unknown_words_get_a_suggestion_ARCH_7);
	tcase_add_test(line, usage_errors_say_what_is_wrong_ARCH_7);
	tcase_add_test(line, timeouts_are_checked);
	tcase_add_test(line, without_words_it_explains_itself);
	tcase_add_test(line, every_verb_has_help_and_an_example_ARCH_7);
	tcase_add_test(line, its_own_version);
	tcase_add_test(daemons, pages_of_all_daemons_are_one_listing_ARCH_7);
	tcase_add_test(daemons, zeros_are_hidden_in_tables_only);
	tcase_add_test(daemons, where_nobody_is_it_says_so_ARCH_7);
	tcase_add_test(daemons, a_killed_daemon_is_told_from_a_living_one_ARCH_7);
	tcase_add_test(daemons, a_silent_daemon_costs_the_timeout_only_ARCH_7);
	tcase_add_test(daemons, a_listing_cut_short_is_not_called_whole_ARCH_7);
	tcase_add_test(daemons, several_run_directories_are_told_apart);
	suite_add_tcase(suite, line);
	suite_add_tcase(suite, daemons);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
