/* SPDX-License-Identifier: BSD-2-Clause */
/* The least MTU against the kernel.  Needs root; each test has its own namespace. */
#include "fad/mtu_io.h"

#include "fad/netns_fixture.h"
#include "lib/daemon.h"
#include "lib/exitcode.h"
#include "lib/log.h"

struct fixture {
	struct mtu *mtu;
};

static void watch(struct fixture *f)
{
	ck_assert_int_eq(mtu_open(&f->mtu), EXITCODE_OK);
}

static struct fixture begin(void)
{
	struct fixture f = {0};

	netns_enter();
	netns_run("ip link set lo up");
	netns_run("ip link add w0 type veth peer name p0");
	netns_run("ip address add 10.9.0.1/24 dev w0");
	netns_run("ip address add fd09::1/64 dev w0 nodad");
	netns_run("ip link set p0 up");
	netns_run("ip link set w0 up");
	netns_run("ip link add w1 mtu 1300 type veth peer name p1"); /* down */
	return f;
}

static void end(struct fixture *f)
{
	mtu_close(f->mtu);
}

/* For this long, or until the least is that. */
static void least(struct fixture *f, uint32_t want)
{
	uint64_t until_ms = daemon_now_ms() + 10000;

	while (mtu_least(f->mtu, daemon_now_ms()) != want && daemon_now_ms() < until_ms)
		usleep(20000);
	ck_assert_uint_eq(mtu_least(f->mtu, daemon_now_ms()), want);
}

START_TEST(test_FA_7_least_mtu_of_links)
{
	struct fixture f = begin();

	watch(&f);
	least(&f, 1500);
	netns_run("ip link set w1 up");
	least(&f, 1300);
	netns_run("ip link set w1 down");
	least(&f, 1500);
	netns_run("ip link set w0 mtu 1400");
	least(&f, 1400);
	netns_run("ip link set w0 mtu 1500");
	least(&f, 1500);
	netns_write("/proc/sys/net/ipv6/conf/w0/mtu", "1290"); /* nobody is told of that */
	least(&f, 1290);
	end(&f);
}
END_TEST

static void routes(const char *there, const char *comes)
{
	struct fixture f = begin();

	netns_run(there);
	watch(&f);
	least(&f, 1400);
	netns_run(comes);
	least(&f, 1300);
	end(&f);
}

START_TEST(test_FA_7_least_mtu_of_routes)
{
	routes("ip route add 198.51.100.0/24 via 10.9.0.2 mtu 1400 table 77",
	       "ip route add 203.0.113.0/24 via 10.9.0.2 mtu lock 1300 advmss 1000");
	routes("ip -6 route add 2001:db8:1::/48 via fd09::2 mtu 1400",
	       "ip -6 route add 2001:db8:2::/48 via fd09::2 hoplimit 9 mtu 1300 table 77");
}
END_TEST

/* What is not heard of in time is not known any more. */
START_TEST(test_FA_7_least_mtu_grows_old)
{
	struct fixture f = begin();

	watch(&f);
	least(&f, 1500);
	ck_assert_uint_eq(mtu_least(f.mtu, daemon_now_ms() + 2500), 0);
	end(&f);
}
END_TEST

/* More news than the queue holds while nobody reads: not known, until routes have been listed again. */
START_TEST(test_FA_7_least_mtu_after_lost_news)
{
	struct fixture f = begin();
	char path[] = "/tmp/mtu_test.XXXXXX", command[64];
	FILE *batch = fdopen(mkstemp(path), "w");

	ck_assert_ptr_nonnull(batch);
	for (unsigned i = 0; i < 6000; i++)
		fprintf(batch, "route add 10.%u.%u.%u/32 via 10.9.0.2 mtu %u\n", 20 + i / 62500, i / 250 % 250,
			i % 250 + 1, i == 5999 ? 1300 : 1400);
	ck_assert_int_eq(fclose(batch), 0);
	snprintf(command, sizeof(command), "ip -batch %s", path);
	watch(&f);
	least(&f, 1500);
	netns_run(command);
	unlink(path);
	least(&f, 1300);
	end(&f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mtu");
	TCase *tc = tcase_create("mtu");
	SRunner *sr;
	int failed;

	log_open("mtu_test", false);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_FA_7_least_mtu_of_links);
	tcase_add_test(tc, test_FA_7_least_mtu_of_routes);
	tcase_add_test(tc, test_FA_7_least_mtu_grows_old);
	tcase_add_test(tc, test_FA_7_least_mtu_after_lost_news);
	suite_add_tcase(suite, tc);
	sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
