/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unit tests of the endpoint: real sockets on loopback addresses, two
 * endpoints in one event loop, and a third party that makes its messages by
 * hand to say what an endpoint never would.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/capture_fixture.h"
#include "lib/check_main.h"
#include "lib/daemon.h"
#include "lib/endpoint_io.h"
#include "lib/exitcode.h"
#include "lib/log.h"

#define SECRET "a secret of the test"

/* ---- a side: an endpoint and what its handler saw ---- */

struct side {
	struct endpoint *ep;
	struct endpoint_conf control;
	struct security_conf security;
	struct security_key_conf key;
	struct addr group;
	struct conf_endpoint peer;
	char key_file[64];
	bool says_hello; /* when asked, as an agent does */
	unsigned messages, known, asks, undecodable, batches;
	struct endpoint_peer from;
	struct wire_msg last; /* pointers in it are dead */
	size_t packet_len;
	uint8_t packet_sum, unknown_type;
};

static sd_event *loop;

static void say_hello(struct endpoint *ep, const struct endpoint_peer *to)
{
	struct wire_msg m;

	wire_start(&m, WIRE_HELLO);
	m.list = (struct wire_list){2, {WIRE_SEG_NAT, WIRE_SEG_INTEREST}};
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	ck_assert(to != NULL ? endpoint_send(ep, to, &m) : endpoint_send_all(ep, &m));
}

static void on_message(void *ctx, const struct endpoint_peer *from, const struct wire_msg *m)
{
	struct side *s = ctx;

	s->messages++;
	s->from = *from;
	s->last = *m;
	s->packet_len = wire_has(m, WIRE_SEG_IP_PACKET) ? m->packet.len : 0;
	s->packet_sum = 0;
	for (size_t i = 0; i < s->packet_len; i++)
		s->packet_sum ^= m->packet.data[i];
}

static void on_known(void *ctx, const struct endpoint_peer *peer)
{
	struct side *s = ctx;

	s->known++;
	s->from = *peer;
	if (s->says_hello)
		say_hello(s->ep, peer);
}

static void on_asks(void *ctx, const struct endpoint_peer *peer)
{
	struct side *s = ctx;

	s->asks++;
	if (s->says_hello)
		say_hello(s->ep, peer);
}

static void on_undecodable(void *ctx, const struct endpoint_peer *from, const struct wire_msg *m,
			   const struct wire_diagnosis *why)
{
	struct side *s = ctx;

	ck_assert_uint_eq(m->h.source, from->identity);
	ck_assert_int_eq(why->fault, WIRE_FAULT_REQUIRED);
	s->undecodable++;
	s->unknown_type = why->unknown.types[0];
}

static void on_batch_end(void *ctx)
{
	((struct side *)ctx)->batches++;
}

static const struct endpoint_handler handler = {on_message, on_known, on_asks, on_undecodable, on_batch_end};

static void write_key(char path[64], const char *secret, mode_t mode)
{
	int fd;

	snprintf(path, 64, "/tmp/endpoint-test-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, secret, strlen(secret)), (ssize_t)strlen(secret));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

/* An address of this process's own, so that tests can run side by side. */
static struct addr own_address(uint8_t host)
{
	unsigned pid = (unsigned)getpid();
	uint8_t b[4] = {127, (uint8_t)(1 + pid / 256 % 250), (uint8_t)(pid % 256), host};

	return addr_make(4, b);
}

static struct addr own_group(void)
{
	unsigned pid = (unsigned)getpid();
	uint8_t b[4] = {239, 192, (uint8_t)(pid / 256), (uint8_t)(pid % 256)};

	return addr_make(4, b);
}

static void prepare(struct side *s, uint8_t host)
{
	memset(s, 0, sizeof(*s));
	s->control = (struct endpoint_conf){
		.address = own_address(host), .port = 7510, .group_port = 7511, .multicast_ttl = 1};
	s->group = own_group();
	write_key(s->key_file, SECRET "\n", 0600);
	s->key = (struct security_key_conf){.id = 7, .scheme = WIRE_SCHEME_HMAC_SHA256, .file = s->key_file};
	s->security = (struct security_conf){.keys = {&s->key, 1}, .sign_with = 7};
}

static void start(struct side *s, uint64_t identity, const char *name)
{
	ck_assert_int_eq(endpoint_open(&s->ep, loop, identity, name, &s->control, &s->security, &handler, s), 0);
}

static void stop(struct side *s)
{
	endpoint_close(s->ep);
	unlink(s->key_file);
}

static struct endpoint_peer peer_of(const struct side *s, uint64_t identity)
{
	return (struct endpoint_peer){.identity = identity, .addr = s->control.address, .port = s->control.port};
}

static uint64_t counter(const struct side *s, const char *name)
{
	struct endpoint_counter c[128];
	size_t n = endpoint_counters(s->ep, c, 128), found = n;

	for (size_t i = 0; i < n; i++)
		if (strcmp(c[i].name, name) == 0) {
			ck_assert_msg(found == n, "two counters are called %s", name);
			found = i;
		}
	ck_assert_msg(found < n, "no counter is called %s", name);
	return c[found].value;
}

/* Until *value is reached, or for long enough to be sure that it will not be. */
static bool run_until(const unsigned *value, unsigned reached)
{
	uint64_t end = daemon_now_ms() + 10000;

	while (*value < reached && daemon_now_ms() < end)
		ck_assert_int_ge(sd_event_run(loop, 20000), 0);
	return *value >= reached;
}

static void run_for(unsigned ms)
{
	uint64_t end = daemon_now_ms() + ms;

	while (daemon_now_ms() < end)
		ck_assert_int_ge(sd_event_run(loop, 5000), 0);
}

static void ip(const char *arguments)
{
	char text[128], *argv[16] = {(char *)(uintptr_t) "ip"}, *rest = text;
	int n = 1, status;
	pid_t pid;

	snprintf(text, sizeof(text), "%s", arguments);
	while (n < 15 && (argv[n] = strsep(&rest, " ")) != NULL)
		n++;
	ck_assert_int_eq(posix_spawnp(&pid, "ip", NULL, NULL, argv, environ), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "ip %s failed", arguments);
}

/* A network of this test's own, whose packets are as small as on a real one. */
static void small_network(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		ck_abort_msg("unshare: %s; run this test as root", strerror(errno));
	ip("link set lo up mtu 1500");
	ip("link add ep0 type veth peer ep1");
	ip("addr add fd00::1/64 dev ep0 nodad");
	ip("link set ep0 up");
	ip("link set ep1 up");
}

/* ---- the third party ---- */

#define THIRD 0x33

struct third {
	int fd;
	struct auth_ring *ring;
	struct session *session;
	uint8_t bytes[65536];
	size_t len; /* of the message made or captured last */
};

static void third_start(struct third *t, const char *secret)
{
	struct addr a = own_address(33);
	struct sockaddr_storage ss;
	size_t len = addr_to_sockaddr(&a, 7510, &ss);

	t->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(bind(t->fd, (struct sockaddr *)&ss, (socklen_t)len), 0);
	t->ring = auth_ring_new();
	if (secret != NULL) {
		ck_assert(auth_ring_add(t->ring, 7, WIRE_SCHEME_HMAC_SHA256, secret, strlen(secret), NULL, 0));
		ck_assert(auth_ring_use(t->ring, 7));
	}
	t->session = session_new(THIRD, 1000, daemon_random, NULL);
}

static void third_stop(struct third *t)
{
	close(t->fd);
	auth_ring_free(t->ring);
	session_free(t->session);
}

static void third_send(struct third *t, const struct side *to)
{
	struct sockaddr_storage ss;
	size_t len = addr_to_sockaddr(&to->control.address, to->control.port, &ss);

	ck_assert_int_eq(sendto(t->fd, t->bytes, t->len, 0, (struct sockaddr *)&ss, (socklen_t)len), (ssize_t)t->len);
}

static void third_make(struct third *t, uint64_t destination, struct wire_msg *m)
{
	ssize_t len;

	session_stamp(t->session, destination, &m->h);
	auth_prepare(t->ring, m);
	len = wire_encode(m, t->bytes, sizeof(t->bytes));
	ck_assert_int_gt(len, 0);
	t->len = (size_t)len;
	ck_assert(auth_sign(t->ring, t->bytes, t->len));
}

static void third_hello(struct third *t)
{
	struct wire_msg m;

	wire_start(&m, WIRE_HELLO);
	snprintf(m.identity.name, sizeof(m.identity.name), "third");
	wire_set(&m, WIRE_SEG_IDENTITY, false);
	m.list = (struct wire_list){1, {WIRE_SEG_NAT}};
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	third_make(t, 0, &m);
}

/* Append a required segment of a type nobody knows, and sign again. */
static void third_add_unknown(struct third *t, uint8_t type)
{
	uint8_t segment[] = {type, 0x80, 0, 2, 0xab, 0xcd};

	memcpy(t->bytes + t->len, segment, sizeof(segment));
	t->len += sizeof(segment);
	t->bytes[2] = (uint8_t)(t->len >> 8);
	t->bytes[3] = (uint8_t)t->len;
	ck_assert(auth_sign(t->ring, t->bytes, t->len));
}

/* The next datagram that came to it, into bytes. */
static bool third_receive(struct third *t)
{
	uint64_t end = daemon_now_ms() + 2000;
	ssize_t n = -1;

	while (n < 0 && daemon_now_ms() < end) {
		ck_assert_int_ge(sd_event_run(loop, 5000), 0);
		n = recv(t->fd, t->bytes, sizeof(t->bytes), 0);
	}
	t->len = n > 0 ? (size_t)n : 0;
	return n > 0;
}

/* Answer the challenge that a first message provokes. */
static void third_introduce(struct third *t, const struct side *to, uint64_t identity)
{
	struct wire_diagnosis why;
	struct wire_nonce nonce;
	struct wire_msg m;

	third_hello(t);
	third_send(t, to);
	ck_assert(third_receive(t));
	ck_assert_int_eq(wire_decode(t->bytes, t->len, &m, &why), WIRE_OK);
	ck_assert_int_eq(m.h.type, WIRE_CHALLENGE);
	ck_assert_int_eq(session_receive(t->session, &m.h, &m.nonce, 1, &nonce), SESSION_ANSWER);
	wire_start(&m, WIRE_CHALLENGE_RESPONSE);
	m.nonce = nonce;
	wire_set(&m, WIRE_SEG_NONCE, true);
	third_make(t, identity, &m);
	third_send(t, to);
	ck_assert(run_until(&to->known, 1));
}

/* ---- tests ---- */

static void setup(void)
{
	ck_assert_int_ge(sd_event_new(&loop), 0);
}

static void teardown(void)
{
	loop = sd_event_unref(loop);
}

START_TEST(test_SEC_4_challenge_before_delivery)
{
	struct endpoint_peer to_b;
	struct side a, b;

	prepare(&a, 1);
	prepare(&b, 2);
	a.says_hello = true;
	start(&a, 0xa, "agent");
	start(&b, 0xb, "manager");
	to_b = peer_of(&b, 0xb);
	say_hello(a.ep, &to_b);
	ck_assert(run_until(&b.messages, 1));
	run_for(50);
	ck_assert_uint_eq(b.known, 1);
	ck_assert_uint_eq(a.known, 1); /* asked back: a challenge proves nothing */
	ck_assert_uint_eq(a.asks, 0);
	ck_assert_uint_eq(b.messages, 1); /* the first hello was only a reason to ask */
	ck_assert_uint_eq(counter(&b, "unknown-incarnation"), 1);
	ck_assert_uint_eq(b.last.h.type, WIRE_HELLO);
	ck_assert_uint_eq(b.last.h.incarnation, endpoint_incarnation(a.ep));
	ck_assert_str_eq(b.last.identity.name, "agent");
	ck_assert_uint_eq(b.from.identity, 0xa);
	ck_assert(addr_equal(&b.from.addr, &a.control.address));
	ck_assert_uint_eq(b.from.port, 7510);
	ck_assert_uint_ge(b.batches, 1);
	stop(&a);
	stop(&b);
}
END_TEST

START_TEST(test_MSG_13_restart_is_challenged_again)
{
	struct endpoint_peer to_b;
	struct side a, b;

	prepare(&a, 1);
	prepare(&b, 2);
	a.says_hello = true;
	start(&a, 0xa, "agent");
	start(&b, 0xb, "manager");
	to_b = peer_of(&b, 0xb);
	say_hello(a.ep, &to_b);
	ck_assert(run_until(&b.messages, 1));
	endpoint_close(a.ep);
	start(&a, 0xa, "agent");
	say_hello(a.ep, &to_b);
	ck_assert(run_until(&b.messages, 2));
	ck_assert_uint_eq(b.known, 2);
	ck_assert_uint_eq(b.last.h.incarnation, endpoint_incarnation(a.ep));
	stop(&a);
	stop(&b);
}
END_TEST

START_TEST(test_SEC_4_captured_bytes_are_dropped)
{
	struct third t;
	struct side b;

	prepare(&b, 2);
	start(&b, 0xb, "manager");
	third_start(&t, SECRET);
	third_introduce(&t, &b, 0xb);
	third_hello(&t);
	for (int i = 0; i < 3; i++)
		third_send(&t, &b);
	ck_assert(run_until(&b.messages, 1));
	run_for(50);
	ck_assert_uint_eq(b.messages, 1);
	ck_assert_uint_eq(counter(&b, "replay"), 2);
	third_stop(&t);
	stop(&b);
}
END_TEST

static void third_challenge(struct third *t, const struct side *to, uint64_t identity)
{
	struct wire_msg m;

	wire_start(&m, WIRE_CHALLENGE);
	daemon_random(NULL, m.nonce.nonce, sizeof(m.nonce.nonce));
	wire_set(&m, WIRE_SEG_NONCE, true);
	third_make(t, identity, &m);
	third_send(t, to);
}

START_TEST(test_SEC_4_challenge_draws_state_only_for_who_is_proven)
{
	struct third t;
	struct side b;

	prepare(&b, 2);
	start(&b, 0xb, "manager");
	third_start(&t, SECRET);
	third_challenge(&t, &b, 0xb);
	third_send(&t, &b); /* and a copy of it */
	run_for(30);
	ck_assert_uint_eq(b.asks, 0);
	ck_assert_uint_eq(b.known, 0);
	ck_assert_uint_eq(counter(&b, "responses-sent"), 1);
	ck_assert_uint_eq(counter(&b, "challenges-sent"), 1); /* asked back */
	while (recv(t.fd, t.bytes, sizeof(t.bytes), 0) > 0)
		;
	run_for(220); /* before it asks the same again */
	third_introduce(&t, &b, 0xb);
	ck_assert_uint_eq(b.asks, 0);
	third_challenge(&t, &b, 0xb);
	ck_assert(run_until(&b.asks, 1));
	third_stop(&t);
	stop(&b);
}
END_TEST

START_TEST(test_SEC_2_wrong_and_absent_keys_are_dropped)
{
	struct third wrong, none;
	struct side b;

	prepare(&b, 2);
	start(&b, 0xb, "manager");
	third_start(&wrong, "another secret");
	third_hello(&wrong);
	third_send(&wrong, &b);
	run_for(30);
	third_stop(&wrong);
	third_start(&none, NULL);
	third_hello(&none);
	third_send(&none, &b);
	third_add_unknown(&none, 200);
	third_send(&none, &b);
	run_for(30);
	ck_assert_uint_eq(counter(&b, "authentication-wrong"), 1);
	ck_assert_uint_eq(counter(&b, "authentication-absent"), 2);
	ck_assert_uint_eq(counter(&b, "challenges-sent"), 0); /* strangers get no answer */
	ck_assert_uint_eq(b.messages + b.undecodable + b.known, 0);
	third_stop(&none);
	stop(&b);
}
END_TEST

START_TEST(test_SEC_2_not_expected_is_accepted)
{
	struct third t;
	struct side b;

	prepare(&b, 2);
	b.security = (struct security_conf){0};
	start(&b, 0xb, "manager");
	third_start(&t, "whatever");
	third_introduce(&t, &b, 0xb);
	third_hello(&t);
	third_send(&t, &b);
	ck_assert(run_until(&b.messages, 1));
	third_stop(&t);
	stop(&b);
}
END_TEST

START_TEST(test_MSG_4_garbage_is_counted_by_fault)
{
	static const struct {
		const char *name;
		size_t len, at;
		uint8_t value;
	} cases[] = {
		{"short", 20, 0, 1},                                           /* cut off */
		{"version", 0, 0, 9}, {"type", 0, 1, 99}, {"header", 0, 4, 1}, /* reserved bits */
		{"long", 1, 0, 1},                                             /* a byte too many, see below */
	};
	struct third t;
	struct side b;

	prepare(&b, 2);
	b.security = (struct security_conf){0};
	start(&b, 0xb, "manager");
	third_start(&t, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		third_hello(&t);
		t.len = cases[i].len == 1 ? t.len + 1 : cases[i].len != 0 ? cases[i].len : t.len;
		t.bytes[cases[i].at] = cases[i].value;
		third_send(&t, &b);
		run_for(20);
		ck_assert_msg(counter(&b, cases[i].name) == 1, "%s is not counted", cases[i].name);
	}
	t.len = 0;
	third_send(&t, &b);
	run_for(20);
	ck_assert_uint_eq(counter(&b, "short"), 2);
	ck_assert_uint_eq(b.messages + b.undecodable, 0);
	third_stop(&t);
	stop(&b);
}
END_TEST

START_TEST(test_MSG_3_required_unknown_goes_to_undecodable)
{
	struct third t;
	struct side b;

	prepare(&b, 2);
	start(&b, 0xb, "manager");
	third_start(&t, SECRET);
	third_hello(&t);
	third_add_unknown(&t, 200);
	third_send(&t, &b);
	ck_assert(third_receive(&t)); /* a challenge, not a deny: nothing of a stranger takes effect */
	ck_assert_uint_eq(t.bytes[1], WIRE_CHALLENGE);
	ck_assert_uint_eq(b.undecodable, 0);
	run_for(250); /* until it may be asked again */
	third_introduce(&t, &b, 0xb);
	third_hello(&t);
	third_add_unknown(&t, 200);
	third_send(&t, &b);
	ck_assert(run_until(&b.undecodable, 1));
	ck_assert_uint_eq(b.unknown_type, 200);
	third_send(&t, &b); /* again: a replay */
	run_for(30);
	ck_assert_uint_eq(b.undecodable, 1);
	ck_assert_uint_eq(counter(&b, "required"), 1);
	ck_assert_uint_eq(b.messages, 0);
	third_stop(&t);
	stop(&b);
}
END_TEST

/* Two endpoints that know each other. */
static void acquainted(struct side *a, struct side *b)
{
	struct endpoint_peer to_b;

	prepare(a, 1);
	prepare(b, 2);
	a->says_hello = true;
	start(a, 0xa, "agent");
	start(b, 0xb, "manager");
	to_b = peer_of(b, 0xb);
	say_hello(a->ep, &to_b);
	ck_assert(run_until(&b->messages, 1));
	b->messages = 0;
}

START_TEST(test_MSG_11_sixty_kilobytes_arrive)
{
	static uint8_t packet[60000] = {0x45};
	struct endpoint_peer to_b;
	uint8_t sum = 0;
	struct wire_msg m;
	struct side a, b;

	small_network();
	acquainted(&a, &b);
	for (size_t i = 1; i < sizeof(packet); i++)
		packet[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t i = 0; i < sizeof(packet); i++)
		sum ^= packet[i];
	to_b = peer_of(&b, 0xb);
	wire_start(&m, WIRE_PACKET);
	m.packet = (struct wire_blob){packet, sizeof(packet)};
	wire_set(&m, WIRE_SEG_IP_PACKET, true);
	ck_assert(endpoint_send(a.ep, &to_b, &m));
	ck_assert(run_until(&b.messages, 1));
	ck_assert_uint_eq(b.packet_len, sizeof(packet));
	ck_assert_uint_eq(b.packet_sum, sum);
	ck_assert(!wire_has(&b.last, WIRE_SEG_IDENTITY));
	stop(&a);
	stop(&b);
}
END_TEST

START_TEST(test_MSG_1_burst_arrives_whole)
{
	struct endpoint_peer to_b;
	struct side a, b;

	acquainted(&a, &b);
	to_b = peer_of(&b, 0xb);
	for (int i = 0; i < 300; i++)
		say_hello(a.ep, &to_b);
	ck_assert(run_until(&b.messages, 300));
	ck_assert_uint_eq(counter(&b, "replay"), 0);
	ck_assert_uint_eq(counter(&a, "send-queue-full"), 0);
	stop(&a);
	stop(&b);
}
END_TEST

/* A large one, from a to b.  False: there is no room for it. */
static bool send_large(struct side *a, const struct endpoint_peer *to)
{
	static uint8_t packet[60000] = {0x45};
	struct wire_msg m;

	wire_start(&m, WIRE_PACKET);
	m.packet = (struct wire_blob){packet, sizeof(packet)};
	wire_set(&m, WIRE_SEG_IP_PACKET, true);
	return endpoint_send(a->ep, to, &m);
}

/* A way out so slow that first the kernel's buffer fills and then the queue.  What is queued goes when there is room
 * again. */
START_TEST(test_ARCH_10_full_send_queue_is_counted)
{
	struct endpoint_peer to_b;
	struct side a, b;
	unsigned sent = 0;

	small_network();
	ck_assert_int_eq(system("ip link set lo mtu 65536"), 0); /* NOLINT(cert-env33-c): a fixed text */
	acquainted(&a, &b);
	to_b = peer_of(&b, 0xb);
	ck_assert_int_eq(system("tc qdisc add dev lo root tbf rate 8kbit burst 70000 limit 500000000"), 0); /* NOLINT */
	while (sent < 4000 && send_large(&a, &to_b))
		sent++;
	ck_assert_uint_lt(sent, 4000);
	ck_assert(!send_large(&a, &to_b));
	ck_assert_uint_eq(counter(&a, "send-queue-full"), 2);
	ck_assert_int_eq(system("tc qdisc del dev lo root"), 0); /* NOLINT: what the kernel had is lost */
	ck_assert(run_until(&b.messages, 200));
	run_for(50);
	ck_assert(send_large(&a, &to_b));
	ck_assert_uint_eq(counter(&a, "send-queue-full"), 2);
	stop(&a);
	stop(&b);
}
END_TEST

/* Faster than they are read: the rest is lost and counted, and it goes on. */
START_TEST(test_ARCH_10_full_receive_buffer_is_counted)
{
	struct endpoint_peer to_b;
	struct side a, b;
	unsigned before;

	acquainted(&a, &b);
	to_b = peer_of(&b, 0xb);
	for (int i = 0; i < 1000; i++) {
		ck_assert(send_large(&a, &to_b));
		endpoint_flush(a.ep); /* the loop, which would read, does not run */
	}
	ck_assert_uint_gt(counter(&b, "receive-queue-full"), 0);
	ck_assert_uint_lt(counter(&b, "receive-queue-full"), 1000);
	run_for(100);
	before = b.messages;
	ck_assert(send_large(&a, &to_b));
	ck_assert(run_until(&b.messages, before + 1));
	stop(&a);
	stop(&b);
}
END_TEST

START_TEST(test_ARCH_4_group_and_unicast_peers_hear)
{
	struct conf_prefix from = {.addr = own_address(2), .plen = 32}; /* of b alone: of itself it needs no word */
	struct third t;
	struct side a, b;

	prepare(&a, 1);
	prepare(&b, 2);
	a.says_hello = true;
	a.security.accept_from = (struct conf_list){&from, 1};
	a.control.multicast = b.control.multicast = true;
	a.control.groups = (struct conf_list){&a.group, 1};
	b.control.groups = (struct conf_list){&b.group, 1};
	a.peer = (struct conf_endpoint){own_address(33), 7510};
	a.control.peers = (struct conf_list){&a.peer, 1};
	third_start(&t, SECRET);
	start(&a, 0xa, "agent");
	start(&b, 0xb, "manager");
	say_hello(a.ep, NULL);
	ck_assert(run_until(&b.messages, 1)); /* by unicast, once they know each other */
	say_hello(a.ep, NULL);
	ck_assert(run_until(&b.messages, 2));
	ck_assert_uint_eq(b.last.h.destination, 0);
	ck_assert_uint_eq(counter(&a, "own-heard"), 2); /* its own, by the group: no error */
	ck_assert_uint_eq(counter(&a, "replay") + counter(&a, "not-for-us") + counter(&a, "sender"), 0);
	ck_assert_uint_eq(counter(&b, "group-heard"), 2);
	ck_assert_uint_eq(counter(&a, "group-heard"), 0);
	ck_assert_uint_ge(counter(&b, "direct-heard"), 1);
	ck_assert_uint_le(counter(&b, "group-quiet-seconds"), 2);
	ck_assert(third_receive(&t)); /* the configured peer got the same */
	ck_assert_uint_eq(t.bytes[1], WIRE_HELLO);
	/* Captured and said again from elsewhere it is still old. */
	third_send(&t, &b);
	run_for(50);
	ck_assert_uint_eq(counter(&b, "replay"), 1);
	third_stop(&t);
	stop(&a);
	stop(&b);
}
END_TEST

START_TEST(test_KEY_3_ipv6_endpoints)
{
	struct endpoint_peer to_b;
	struct side a, b;

	small_network();
	prepare(&a, 1);
	prepare(&b, 2);
	a.says_hello = true;
	a.control.multicast = b.control.multicast = true;
	ck_assert(addr_parse("fd00::1", &a.control.address));
	b.control.address = a.control.address;
	ck_assert(addr_parse("ff15::7510", &a.group));
	b.group = a.group;
	a.control.groups = (struct conf_list){&a.group, 1};
	b.control.groups = (struct conf_list){&b.group, 1};
	b.control.port = 7512;
	start(&a, 0xa, "agent");
	start(&b, 0xb, "manager");
	to_b = peer_of(&b, 0xb);
	say_hello(a.ep, &to_b);
	ck_assert(run_until(&b.messages, 1));
	say_hello(a.ep, NULL);
	ck_assert(run_until(&b.messages, 2));
	ck_assert_uint_eq(b.last.h.destination, 0);
	stop(&a);
	stop(&b);
}
END_TEST

START_TEST(failed_sends_are_counted_and_not_fatal)
{
	struct endpoint_peer nowhere = {.identity = 5, .port = 7510};
	struct endpoint_peer to_b;
	struct side a, b;

	acquainted(&a, &b);
	ck_assert(addr_parse("192.0.2.1", &nowhere.addr)); /* not from a loopback address */
	to_b = peer_of(&b, 0xb);
	say_hello(a.ep, &nowhere);
	say_hello(a.ep, &to_b);
	ck_assert(run_until(&b.messages, 1));
	ck_assert_uint_eq(counter(&a, "send-failed") + counter(&a, "send-unreachable"), 1);
	stop(&a);
	stop(&b);
}
END_TEST

static int open_status(struct side *s)
{
	int status = endpoint_open(&s->ep, loop, 1, "test", &s->control, &s->security, &handler, s);

	if (status != EXITCODE_OK)
		ck_assert_ptr_null(s->ep);
	return status;
}

START_TEST(opening_says_what_is_missing)
{
	char path[64];
	struct side a, b;

	prepare(&a, 1);
	start(&a, 0xa, "first");
	prepare(&b, 1);
	ck_assert_int_eq(open_status(&b), EXITCODE_BUSY);
	ck_assert(addr_parse("192.0.2.77", &b.control.address));
	ck_assert_int_eq(open_status(&b), EXITCODE_INTERFACE);
	b.control.address = own_address(2);
	b.control.interface = (char *)(uintptr_t) "no-such-if";
	ck_assert_int_eq(open_status(&b), EXITCODE_INTERFACE);
	b.control.interface = NULL;
	b.key.file = (char *)(uintptr_t) "/nonexistent/key";
	ck_assert_int_eq(open_status(&b), EXITCODE_CONFIG);
	b.key.file = path;
	write_key(path, SECRET, 0644);
	ck_assert_int_eq(open_status(&b), EXITCODE_CONFIG);
	unlink(path);
	write_key(path, "\n", 0600);
	ck_assert_int_eq(open_status(&b), EXITCODE_CONFIG);
	unlink(path);
	write_key(path, SECRET, 0640);
	ck_assert_int_eq(open_status(&b), EXITCODE_OK);
	unlink(path);
	stop(&a);
	stop(&b);
}
END_TEST

START_TEST(test_SEC_4_flood_of_one_source_draws_a_bounded_number_of_replies)
{
	uint64_t from = daemon_now_ms(), replies, limited;
	struct third t;
	struct side b;

	prepare(&b, 2);
	start(&b, 0xb, "manager");
	third_start(&t, SECRET);
	for (int i = 0; i < 600; i++) {
		third_challenge(&t, &b, 0xb); /* a nonce of its own each: each would be answered */
		if (i % 32 == 31)
			run_for(1);
	}
	run_for(50);
	ck_assert_uint_eq(counter(&b, "received"), 600);
	replies = counter(&b, "responses-sent") + counter(&b, "challenges-sent");
	limited = counter(&b, "challenge-limited");
	ck_assert_uint_ge(replies, 256);
	ck_assert_uint_le(replies, 256 * ((daemon_now_ms() - from) / 1000 + 1));
	ck_assert_uint_ge(replies + limited, 600);
	third_stop(&t);
	stop(&b);
}
END_TEST

START_TEST(test_SEC_3_key_file_others_can_change_is_refused)
{
	static const mode_t refused[] = {0620, 0660, 0602, 0604, 0601};
	struct side a;

	prepare(&a, 1);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		ck_assert_int_eq(chmod(a.key_file, refused[i]), 0);
		ck_assert_msg(endpoint_open(&a.ep, loop, 1, "test", &a.control, &a.security, &handler, &a) ==
				      EXITCODE_CONFIG,
			      "mode %04o is taken", (unsigned)refused[i]);
	}
	unlink(a.key_file);
}
END_TEST

/* What can be guessed from one recorded message. */
START_TEST(test_SEC_3_short_secret_is_refused_or_warned_of)
{
	static const struct {
		const char *secret;
		int status;
		bool warns;
	} cases[] = {{"1234567", EXITCODE_CONFIG, false},
		     {"1234567\n", EXITCODE_CONFIG, false},
		     {"12345678\n", EXITCODE_OK, true},
		     {"123456789012345\n", EXITCODE_OK, true},
		     {"1234567890123456", EXITCODE_OK, false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct security_key_conf key = {.id = 1, .scheme = WIRE_SCHEME_HMAC_SHA256};
		struct security_conf security = {.keys = {&key, 1}};
		struct endpoint_trust *trust;
		struct capture c;
		const char *said;
		char file[64];

		write_key(file, cases[i].secret, 0600);
		key.file = file;
		capture_start(&c);
		ck_assert_int_eq(endpoint_trust_load(&trust, &security), cases[i].status);
		said = capture_end(&c);
		endpoint_trust_free(trust);
		ck_assert_msg((strstr(said, "may be guessed") != NULL) == cases[i].warns, "%zu: %s", i, said);
		ck_assert_msg((strstr(said, "8 to 128 bytes") != NULL) == (cases[i].status != EXITCODE_OK), "%zu: %s",
			      i, said);
		ck_assert(!*said || strstr(said, file));
		unlink(file);
	}
}
END_TEST

/* Another secret under another id; who is known stays known, and the old key is good until it is taken away. */
START_TEST(test_SEC_3_keys_roll_while_it_runs)
{
	struct endpoint_trust *trust;
	struct security_key_conf both[2], *old = &both[0], *new = &both[1];
	struct security_conf security = {.keys = {both, 2}, .sign_with = 8};
	struct third t, rolled;
	struct side b;
	char file[64];

	prepare(&b, 2);
	start(&b, 0xb, "manager");
	third_start(&t, SECRET);
	third_introduce(&t, &b, 0xb);
	write_key(file, "the next secret", 0600);
	*old = b.key;
	*new = (struct security_key_conf){.id = 8, .scheme = WIRE_SCHEME_HMAC_SHA256, .file = file};
	ck_assert_int_eq(endpoint_trust_load(&trust, &security), EXITCODE_OK);
	endpoint_believe(b.ep, trust);
	third_hello(&t);
	third_send(&t, &b);
	ck_assert(run_until(&b.messages, 1));
	security.keys = (struct conf_list){new, 1};
	ck_assert_int_eq(endpoint_trust_load(&trust, &security), EXITCODE_OK);
	endpoint_believe(b.ep, trust);
	third_hello(&t);
	third_send(&t, &b);
	run_for(30);
	ck_assert_uint_eq(b.messages, 1);
	ck_assert_uint_eq(counter(&b, "authentication-unknown-key"), 1);
	rolled = t; /* the same party, in the same session */
	rolled.ring = auth_ring_new();
	ck_assert(auth_ring_add(rolled.ring, 8, WIRE_SCHEME_HMAC_SHA256, "the next secret", 15, NULL, 0));
	ck_assert(auth_ring_use(rolled.ring, 8));
	third_hello(&rolled);
	third_send(&rolled, &b);
	ck_assert(run_until(&b.messages, 2));
	ck_assert_uint_eq(b.known, 1);
	auth_ring_free(rolled.ring);
	/* What cannot be read changes nothing. */
	unlink(file);
	ck_assert_int_eq(endpoint_trust_load(&trust, &security), EXITCODE_CONFIG);
	ck_assert_ptr_null(trust);
	third_stop(&t);
	stop(&b);
}
END_TEST

START_TEST(test_SEC_1_only_configured_senders_are_heard)
{
	struct conf_prefix from[2] = {{.addr = own_address(0), .plen = 27}, {.addr = own_address(33), .plen = 32}};
	struct third t;
	struct side b;

	prepare(&b, 2);
	b.security.accept_from = (struct conf_list){from, 1}; /* hosts 0 to 31; the third one is 33 */
	start(&b, 0xb, "manager");
	third_start(&t, SECRET);
	third_hello(&t);
	third_send(&t, &b);
	run_for(30);
	ck_assert_uint_eq(counter(&b, "sender"), 1);
	ck_assert_uint_eq(counter(&b, "direct-heard"), 1); /* it did get here, which doctor wants to know */
	ck_assert_uint_eq(counter(&b, "challenges-sent"), 0);
	stop(&b);
	prepare(&b, 2);
	b.security.accept_from = (struct conf_list){from, 2};
	start(&b, 0xb, "manager");
	third_introduce(&t, &b, 0xb);
	ck_assert_uint_eq(counter(&b, "sender"), 0);
	third_stop(&t);
	stop(&b);
}
END_TEST

START_TEST(test_MSG_13_another_with_our_identity_is_told_from_ourselves)
{
	struct endpoint_peer to_b;
	struct side a, b;

	prepare(&a, 1);
	prepare(&b, 2);
	start(&a, 0xa, "one");
	start(&b, 0xa, "twin");
	to_b = peer_of(&b, 0);
	say_hello(a.ep, &to_b);
	run_for(50);
	ck_assert_uint_eq(counter(&b, "same-identity"), 1);
	ck_assert_uint_eq(counter(&b, "own-heard"), 0);
	ck_assert_uint_eq(b.messages, 0);
	stop(&a);
	stop(&b);
}
END_TEST

/* On a real interface, where the kernel gives a group's packets back to this machine only if it was asked to. */
START_TEST(test_ARCH_4_group_is_heard_by_others_on_the_same_machine)
{
	struct endpoint_peer to_b;
	struct side a, b;

	small_network();
	ip("addr add 10.9.9.1/24 dev ep0");
	prepare(&a, 1);
	prepare(&b, 2);
	a.says_hello = true;
	a.control.multicast = b.control.multicast = true;
	ck_assert(addr_parse("10.9.9.1", &a.control.address));
	b.control.address = a.control.address;
	a.control.groups = (struct conf_list){&a.group, 1};
	b.control.groups = (struct conf_list){&b.group, 1};
	b.control.port = 7512;
	start(&a, 0xa, "agent");
	start(&b, 0xb, "manager");
	to_b = peer_of(&b, 0xb);
	say_hello(a.ep, &to_b);
	ck_assert(run_until(&b.messages, 1));
	say_hello(a.ep, NULL);
	ck_assert(run_until(&b.messages, 2));
	ck_assert_uint_eq(b.last.h.destination, 0);
	stop(&a);
	stop(&b);
}
END_TEST

/* ---- configuration ---- */

static const char *control_errors(const char *text, struct endpoint_conf *conf)
{
	static char errors[4096];

	memset(conf, 0, sizeof(*conf));
	conf_load_text("t", text, strlen(text), &endpoint_conf_mapping, sizeof(*conf), conf, errors, sizeof(errors));
	return errors;
}

static const char *security_errors(const char *text, struct security_conf *conf)
{
	static char errors[4096];

	memset(conf, 0, sizeof(*conf));
	conf_load_text("t", text, strlen(text), &security_conf_mapping, sizeof(*conf), conf, errors, sizeof(errors));
	return errors;
}

START_TEST(test_ARCH_5_control_configuration)
{
	struct endpoint_conf c;
	char text[ENDPOINT_STRLEN];

	ck_assert_str_eq(control_errors("address: 10.77.0.1\npeers: [10.77.0.2, 10.77.0.3:99]\n", &c), "");
	ck_assert_uint_eq(c.port, 7510);
	ck_assert_uint_eq(c.group_port, 7511);
	ck_assert_uint_eq(c.multicast_ttl, 8);
	ck_assert(c.multicast);
	ck_assert_ptr_null(c.interface);
	ck_assert_uint_eq(c.groups.count, 1);
	ck_assert_str_eq(addr_print(c.groups.items, text), "239.255.75.10");
	ck_assert_uint_eq(((struct conf_endpoint *)c.peers.items)[0].port, 7510);
	ck_assert_uint_eq(((struct conf_endpoint *)c.peers.items)[1].port, 99);
	conf_free(&endpoint_conf_mapping, sizeof(c), &c);
	ck_assert_str_eq(control_errors("address: fd00::1\n", &c), "");
	ck_assert_str_eq(addr_print(c.groups.items, text), "ff15::7510");
	conf_free(&endpoint_conf_mapping, sizeof(c), &c);
	ck_assert_str_eq(control_errors("address: fd00::1\nmulticast: false\n", &c), "");
	ck_assert_uint_eq(c.groups.count, 0);
	conf_free(&endpoint_conf_mapping, sizeof(c), &c);
	ck_assert_str_eq(control_errors("port: 0\n", &c),
			 "t:1:1: address: is missing\n"
			 "t:1:7: port: '0' is not allowed; takes a number from 1 to 65535\n");
	ck_assert_str_eq(control_errors("address: 224.0.0.1\n", &c),
			 "t:1:10: address: 224.0.0.1 is not the address of a host\n");
	ck_assert_str_eq(control_errors("address: 10.0.0.1\ngroup: [10.0.0.2, 'ff15::1']\n", &c),
			 "t:2:9: group[0]: 10.0.0.2 is not a multicast address (224.0.0.0/4, ff00::/8)\n"
			 "t:2:19: group[1]: an IPv6 address, but control.address is IPv4\n");
	ck_assert_str_eq(control_errors("address: 10.0.0.1\npeers: [10.0.0.1, 239.1.1.1, 'fd00::1']\n", &c),
			 "t:2:9: peers[0]: this is the own address and port\n"
			 "t:2:19: peers[1]: 239.1.1.1 is not the address of a host\n"
			 "t:2:30: peers[2]: an IPv6 address, but control.address is IPv4\n");
}
END_TEST

/* A list of n items under "key", each printed with its number; nothing else is asked of them here. */
static char *long_list(const char *head, const char *key, unsigned n, const char *item)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, "%s%s:\n", head, key);
	for (unsigned i = 0; i < n; i++) {
		fputs("- ", f);
		fprintf(f, item, i / 250, i % 250 + 1);
		fputs("\n", f);
	}
	fclose(f);
	return text;
}

static void check_list(bool control, const char *key, unsigned limit, const char *item, const char *takes)
{
	const char *head = control ? "address: 10.0.0.1\n" : "";

	for (unsigned n = limit; n <= limit + 1; n++) {
		struct endpoint_conf c;
		struct security_conf s;
		char *text = long_list(head, key, n, item), wanted[128];
		const char *errors = control ? control_errors(text, &c) : security_errors(text, &s);

		snprintf(wanted, sizeof(wanted), ": %s: has %u items; takes %s\n", key, n, takes);
		if (n > limit)
			ck_assert_msg(strstr(errors, wanted) != NULL, "%s", errors);
		else
			ck_assert_str_eq(errors, "");
		free(text);
		if (n > limit)
			continue;
		if (control)
			conf_free(&endpoint_conf_mapping, sizeof(c), &c);
		else
			conf_free(&security_conf_mapping, sizeof(s), &s);
	}
}

START_TEST(test_ARCH_10_lists_of_peers_and_keys_that_are_too_long_are_refused)
{
	check_list(true, "group", 4, "239.1.%u.%u", "0 to 4");
	check_list(true, "peers", 256, "10.1.%u.%u", "0 to 256");
	check_list(false, "keys", 64, "{id: 1%u%u, file: /k}", "0 to 64");
	check_list(false, "accept-from", 256, "10.1.%u.%u", "0 to 256");
}
END_TEST

START_TEST(test_SEC_3_security_configuration)
{
	struct security_conf c;
	const struct security_key_conf *keys;

	ck_assert_str_eq(security_errors("keys:\n- {id: 4, file: /k4}\n"
					 "- {id: 5, scheme: md5, file: /k5, identities: [0x10, 17]}\n",
					 &c),
			 "");
	keys = c.keys.items;
	ck_assert_uint_eq(c.sign_with, 4);
	ck_assert_int_eq(keys[0].scheme, WIRE_SCHEME_HMAC_SHA256);
	ck_assert_int_eq(keys[1].scheme, WIRE_SCHEME_MD5);
	ck_assert_uint_eq(((uint64_t *)keys[1].identities.items)[0], 16);
	conf_free(&security_conf_mapping, sizeof(c), &c);
	ck_assert_str_eq(security_errors("keys:\n- {id: 4, file: /k4}\n- {id: 4, file: /k5}\nsign-with: 6\n", &c),
			 "t:3:8: keys[1].id: key 4 is there already\n"
			 "t:4:12: sign-with: no key here has the id 6\n");
	ck_assert_str_eq(security_errors("keys: [{id: 4, scheme: sha1, file: /k4}]\n", &c),
			 "t:1:24: keys[0].scheme: 'sha1' is not allowed; takes hmac-sha256 or md5\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("endpoint");
	TCase *tc = tcase_create("endpoint"), *conf = tcase_create("configuration");

	log_open("endpoint_test", false);
	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_SEC_4_challenge_before_delivery);
	tcase_add_test(tc, test_MSG_13_restart_is_challenged_again);
	tcase_add_test(tc, test_SEC_4_captured_bytes_are_dropped);
	tcase_add_test(tc, test_SEC_4_challenge_draws_state_only_for_who_is_proven);
	tcase_add_test(tc, test_SEC_2_wrong_and_absent_keys_are_dropped);
	tcase_add_test(tc, test_SEC_2_not_expected_is_accepted);
	tcase_add_test(tc, test_MSG_4_garbage_is_counted_by_fault);
	tcase_add_test(tc, test_MSG_3_required_unknown_goes_to_undecodable);
	tcase_add_test(tc, test_MSG_11_sixty_kilobytes_arrive);
	tcase_add_test(tc, test_MSG_1_burst_arrives_whole);
	tcase_add_test(tc, test_ARCH_10_full_send_queue_is_counted);
	tcase_add_test(tc, test_ARCH_10_full_receive_buffer_is_counted);
	tcase_add_test(tc, test_ARCH_4_group_and_unicast_peers_hear);
	tcase_add_test(tc, test_KEY_3_ipv6_endpoints);
	tcase_add_test(tc, failed_sends_are_counted_and_not_fatal);
	tcase_add_test(tc, opening_says_what_is_missing);
	tcase_add_test(tc, test_SEC_4_flood_of_one_source_draws_a_bounded_number_of_replies);
	tcase_add_test(tc, test_SEC_3_key_file_others_can_change_is_refused);
	tcase_add_test(tc, test_SEC_3_short_secret_is_refused_or_warned_of);
	tcase_add_test(tc, test_SEC_3_keys_roll_while_it_runs);
	tcase_add_test(tc, test_SEC_1_only_configured_senders_are_heard);
	tcase_add_test(tc, test_ARCH_4_group_is_heard_by_others_on_the_same_machine);
	tcase_add_test(tc, test_MSG_13_another_with_our_identity_is_told_from_ourselves);
	tcase_add_test(conf, test_ARCH_5_control_configuration);
	tcase_add_test(conf, test_ARCH_10_lists_of_peers_and_keys_that_are_too_long_are_refused);
	tcase_add_test(conf, test_SEC_3_security_configuration);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, conf);
	return check_main(suite);
}
