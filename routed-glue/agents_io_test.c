/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of following agents over a real admin bus: the agent here is a
 * bus_server on the test's own loop, in a directory made for each test.
 */
#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bus.h"
#include "lib/daemon.h"
#include "routed-glue/agents_io.h"

#define MAX_SET 64

struct agent {
	struct bus_server *server;
	char *set[MAX_SET];
	size_t count, page;
	uint64_t version;
	bool refuse;
	unsigned asked;
	Turnout__Advertised answer;
};

struct fixture {
	char dir[64];
	sd_event *loop;
	struct glue_config conf;
	struct glue *glue;
	struct agents *agents;
	struct agent agent;
	unsigned heard;
};

static char A[] = "203.0.113.1/32", B[] = "203.0.113.2/32", C[] = "2001:db8::3/128";

static const char *handle(void *ctx, const Turnout__Request *request, Turnout__Reply *reply)
{
	struct agent *a = ctx;
	size_t first = request->cursor, left;

	if (request->what_case != TURNOUT__REQUEST__WHAT_ADVERTISED)
		return BUS_NOT_KNOWN;
	a->asked++;
	if (a->refuse)
		return "not now";
	first = first < a->count ? first : a->count;
	left = a->count - first;
	turnout__advertised__init(&a->answer);
	a->answer.version = a->version;
	a->answer.prefixes = a->set + first;
	a->answer.n_prefixes = left < a->page ? left : a->page;
	reply->advertised = &a->answer;
	reply->next = left > a->page ? first + a->page : 0;
	return NULL;
}

static void start_agent(struct fixture *f)
{
	f->agent.page = f->agent.page ? f->agent.page : MAX_SET;
	ck_assert_int_eq(bus_server_new(&f->agent.server, f->loop, f->dir, "fad", handle, NULL, &f->agent), 0);
}

static void stop_agent(struct fixture *f)
{
	bus_server_free(f->agent.server);
	f->agent.server = NULL;
}

static void beat(struct fixture *f)
{
	Turnout__Event event = TURNOUT__EVENT__INIT;
	Turnout__Heartbeat heartbeat = TURNOUT__HEARTBEAT__INIT;

	heartbeat.version = f->agent.version;
	event.what_case = TURNOUT__EVENT__WHAT_HEARTBEAT;
	event.heartbeat = &heartbeat;
	bus_publish(f->agent.server, &event);
}

static void publish(struct fixture *f, char *add, char *take)
{
	Turnout__Event event = TURNOUT__EVENT__INIT;
	Turnout__Advertise change = TURNOUT__ADVERTISE__INIT;

	change.version = ++f->agent.version;
	change.add = &add;
	change.n_add = add != NULL;
	change.remove = &take;
	change.n_remove = take != NULL;
	event.what_case = TURNOUT__EVENT__WHAT_ADVERTISE;
	event.advertise = &change;
	bus_publish(f->agent.server, &event);
}

static void on_heard(void *ctx)
{
	((struct fixture *)ctx)->heard++;
}

static struct fixture *setup(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct glue_conf conf = {.agents = 1,
				 .lease_ms = 1000,
				 .limits = {.prefixes = 100, .hold_ms = 0, .flap_limit = 0, .flap_refill_ms = 1000}};
	const char *failed;
	char errors[256];

	snprintf(f->dir, sizeof(f->dir), "/tmp/turnout-glue-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	ck_assert_int_ge(sd_event_new(&f->loop), 0);
	ck_assert(glue_config_load_text("t", "agents: fad", &f->conf, errors, sizeof(errors)));
	f->glue = glue_new(&conf);
	ck_assert_int_eq(agents_open(&f->agents, f->loop, f->dir, &f->conf, f->glue, on_heard, f, &failed), 0);
	f->agent.version = 1;
	return f;
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
	agents_close(f->agents);
	bus_server_free(f->agent.server);
	glue_free(f->glue);
	glue_config_free(&f->conf);
	sd_event_unref(f->loop);
	nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(f);
}

/* Run the loop until exactly `count` prefixes are announced, the agent's heart beating if it should. */
static bool spin(struct fixture *f, size_t count, bool beating, uint64_t timeout_ms)
{
	uint64_t end = daemon_now_ms() + timeout_ms, beaten = 0, expired;

	for (;;) {
		const struct wanted_prefix *e = NULL;
		size_t n = 0;

		if (beating && daemon_now_ms() - beaten >= 50) {
			beat(f);
			beaten = daemon_now_ms();
		}
		sd_event_run(f->loop, 10000);
		glue_step(f->glue, daemon_now_ms(), &expired);
		while ((e = wanted_next(glue_wanted(f->glue), e)))
			n += e->announced;
		if (n == count)
			return true;
		if (daemon_now_ms() >= end)
			return false;
	}
}

static bool wants(struct fixture *f, const char *text)
{
	const struct wanted_prefix *e;
	struct prefix p;

	ck_assert_ptr_null(prefix_parse(text, &p));
	e = wanted_find(glue_wanted(f->glue), &p);
	return e && e->announced;
}

START_TEST(test_ACT_3_agent_that_comes_later_is_found)
{
	struct fixture *f = setup();

	ck_assert(spin(f, 0, false, 100));
	f->agent.set[0] = A;
	f->agent.count = 1;
	start_agent(f);
	ck_assert(spin(f, 1, true, 5000));
	ck_assert(wants(f, A));
	ck_assert_uint_gt(f->heard, 0);
	teardown(f);
}
END_TEST

START_TEST(test_ACT_3_changes_arrive_without_asking)
{
	struct fixture *f = setup();
	unsigned asked;

	f->agent.set[0] = A;
	f->agent.count = 1;
	start_agent(f);
	ck_assert(spin(f, 1, true, 5000));
	spin(f, 99, true, 300);
	asked = f->agent.asked;
	publish(f, B, NULL);
	publish(f, C, A);
	publish(f, A, NULL);
	ck_assert(spin(f, 3, true, 1000));
	publish(f, NULL, B);
	ck_assert(spin(f, 2, true, 1000));
	ck_assert(wants(f, A) && wants(f, C));
	ck_assert_uint_eq(f->agent.asked, asked);
	teardown(f);
}
END_TEST

START_TEST(test_ACT_3_set_in_pages_is_whole)
{
	struct fixture *f = setup();
	char text[MAX_SET][20];

	for (int i = 0; i < MAX_SET; i++) {
		snprintf(text[i], sizeof(text[i]), "198.51.100.%d/32", i);
		f->agent.set[i] = text[i];
	}
	f->agent.count = MAX_SET;
	f->agent.page = 7;
	start_agent(f);
	ck_assert(spin(f, MAX_SET, true, 5000));
	ck_assert_uint_ge(f->agent.asked, 10);
	teardown(f);
}
END_TEST

START_TEST(test_ACT_3_silence_withdraws_and_return_restores)
{
	struct fixture *f = setup();
	uint64_t began;

	f->agent.set[0] = A;
	f->agent.count = 1;
	start_agent(f);
	ck_assert(spin(f, 1, true, 5000));
	spin(f, 99, true, 300);
	began = daemon_now_ms();
	ck_assert(spin(f, 0, false, 3000)); /* hung: it is there, but its heart does not beat */
	ck_assert_uint_ge(daemon_now_ms() - began, 800);
	ck_assert_uint_le(daemon_now_ms() - began, 1500);
	ck_assert(spin(f, 1, true, 3000));
	teardown(f);
}
END_TEST

START_TEST(test_ACT_3_restarted_agent_is_believed)
{
	struct fixture *f = setup();

	f->agent.set[0] = A;
	f->agent.count = 1;
	start_agent(f);
	ck_assert(spin(f, 1, true, 5000));
	spin(f, 99, true, 1000);
	stop_agent(f);
	f->agent.set[0] = B;
	f->agent.set[1] = C;
	f->agent.count = 2;
	start_agent(f); /* the same version, another set */
	ck_assert(spin(f, 2, true, 5000));
	ck_assert(wants(f, B) && wants(f, C));
	teardown(f);
}
END_TEST

START_TEST(test_ACT_3_agent_that_refuses_is_asked_again)
{
	struct fixture *f = setup();

	f->agent.set[0] = A;
	f->agent.count = 1;
	f->agent.refuse = true;
	start_agent(f);
	ck_assert(!spin(f, 1, true, 700));
	ck_assert_uint_ge(f->agent.asked, 1);
	ck_assert_uint_le(f->agent.asked, 4);
	f->agent.refuse = false;
	ck_assert(spin(f, 1, true, 2000));
	teardown(f);
}
END_TEST

START_TEST(test_ACT_3_precautionary_snapshot)
{
	struct fixture *f = setup();
	unsigned asked;

	f->agent.set[0] = A;
	f->agent.count = 1;
	start_agent(f);
	ck_assert(spin(f, 1, true, 5000));
	spin(f, 99, true, 700);
	asked = f->agent.asked;
	/* What no event told, for whatever reason. */
	f->agent.set[1] = B;
	f->agent.count = 2;
	agents_refresh(f->agents);
	agents_refresh(f->agents); /* one is under way */
	ck_assert(spin(f, 2, true, 1000));
	ck_assert_uint_eq(f->agent.asked, asked + 1);
	teardown(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("agents");
	TCase *tc = tcase_create("agents");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_ACT_3_agent_that_comes_later_is_found);
	tcase_add_test(tc, test_ACT_3_changes_arrive_without_asking);
	tcase_add_test(tc, test_ACT_3_set_in_pages_is_whole);
	tcase_add_test(tc, test_ACT_3_silence_withdraws_and_return_restores);
	tcase_add_test(tc, test_ACT_3_restarted_agent_is_believed);
	tcase_add_test(tc, test_ACT_3_agent_that_refuses_is_asked_again);
	tcase_add_test(tc, test_ACT_3_precautionary_snapshot);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
