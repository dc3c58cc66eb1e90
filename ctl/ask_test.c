/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking a daemon whose listing does not end, a child process.
 */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/doctor.h"
#include "lib/check_main.h"

#define PAGES 500 /* as many as CTL_MAX_PAGES take too long */

struct fixture {
	char dir[64];
	const char *dirs[1];
	pid_t daemon;
	struct ctl ctl;
	char *said;
	size_t said_len;
	size_t pages;
};

static const char *without_end(void *ctx, const Turnout__Request *request, Turnout__Reply *reply)
{
	(void)ctx;
	reply->next = request->cursor + 1;
	return NULL;
}

static const char *the_same_again(void *ctx, const Turnout__Request *request, Turnout__Reply *reply)
{
	(void)ctx;
	(void)request;
	reply->next = 7;
	return NULL;
}

static void serve(const char *dir, bus_handler handler, int ready)
{
	struct bus_server *server;
	sd_event *loop;

	if (bus_lock(dir, "fad") < 0 || sd_event_new(&loop) < 0 ||
	    bus_server_new(&server, loop, dir, "fad", handler, NULL, NULL) < 0 || write(ready, "1", 1) != 1)
		_exit(1);
	sd_event_loop(loop);
	_exit(1);
}

static struct fixture *begin(bus_handler handler)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];
	char c;

	snprintf(f->dir, sizeof(f->dir), "/tmp/turnout-ask-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	f->dirs[0] = f->dir;
	ck_assert_int_eq(pipe(fds), 0);
	f->daemon = fork();
	ck_assert_int_ge(f->daemon, 0);
	if (f->daemon == 0)
		serve(f->dir, handler, fds[1]);
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], &c, 1), 1);
	close(fds[0]);
	f->ctl = (struct ctl){.out = stdout,
			      .err = open_memstream(&f->said, &f->said_len),
			      .run_dirs = f->dirs,
			      .run_dir_count = 1,
			      .from = "fad",
			      .timeout_ms = 30000,
			      .max_pages = PAGES};
	return f;
}

static void end(struct fixture *f)
{
	static const char *const left[] = {"fad.sock", "fad.events", "fad.pid"};
	char path[128];

	kill(f->daemon, SIGKILL);
	waitpid(f->daemon, NULL, 0);
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, left[i]);
		unlink(path);
	}
	rmdir(f->dir);
	fclose(f->ctl.err);
	free(f->said);
	free(f);
}

static bool one_page(void *ctx, const char *daemon, const Turnout__Reply *reply)
{
	ck_assert_str_eq(daemon, "fad");
	ck_assert_ptr_nonnull(reply);
	((struct fixture *)ctx)->pages++;
	return true;
}

static enum exitcode ask(struct fixture *f)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__Empty empty = TURNOUT__EMPTY__INIT;
	enum exitcode status;
	size_t answered;

	request.what_case = TURNOUT__REQUEST__WHAT_SHOW_COUNTERS;
	request.show_counters = &empty;
	status = ask_all(&f->ctl, "counters", &request, one_page, f, &answered);
	ck_assert_uint_eq(answered, 1);
	fflush(f->ctl.err);
	return status;
}

START_TEST(test_ARCH_7_ARCH_10_listing_without_an_end_is_cut_and_said)
{
	struct fixture *f = begin(without_end);

	ck_assert_int_eq(ask(f), EXITCODE_FAILURE);
	ck_assert_uint_eq(f->pages, PAGES);
	ck_assert_msg(strstr(f->said, "more than 500 pages; the listing is not complete") != NULL, "%s", f->said);
	end(f);
}
END_TEST

START_TEST(test_ARCH_7_ARCH_10_page_that_repeats_is_said)
{
	struct fixture *f = begin(the_same_again);

	ck_assert_int_eq(ask(f), EXITCODE_FAILURE);
	ck_assert_uint_eq(f->pages, 2);
	ck_assert_msg(strstr(f->said, "repeats a page") != NULL, "%s", f->said);
	end(f);
}
END_TEST

START_TEST(test_ARCH_7_ARCH_10_doctor_ends_a_listing_without_an_end)
{
	struct fixture *f = begin(without_end);
	struct fact_daemon d = {.dir = f->dir, .name = (char *)(uintptr_t) "fad"};
	struct fact_pages *p = &d.listings[FACT_COUNTERS];

	facts_count_again(&f->ctl, &d);
	ck_assert_uint_eq(p->count, PAGES);
	for (size_t i = 0; i < p->count; i++)
		turnout__reply__free_unpacked(p->pages[i], NULL);
	free(p->pages);
	end(f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ask");
	TCase *tc = tcase_create("pages");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_ARCH_7_ARCH_10_listing_without_an_end_is_cut_and_said);
	tcase_add_test(tc, test_ARCH_7_ARCH_10_page_that_repeats_is_said);
	tcase_add_test(tc, test_ARCH_7_ARCH_10_doctor_ends_a_listing_without_an_end);
	suite_add_tcase(suite, tc);
	return check_main(suite);
}
