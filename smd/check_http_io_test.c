/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of HTTP and HTTPS checks, against a real server in another process, on
 * the loopback.
 */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "smd/check_http_io.h"
#include "smd/check_io.h"

/* Says its two ports, plain and TLS; argument: a directory for its certificate. */
static const char SERVER[] =
	"import http.server, ssl, subprocess, sys, threading, time\n"
	"d = sys.argv[1]\n"
	"subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',\n"
	"  '-nodes', '-keyout', d + '/key.pem', '-out', d + '/cert.pem', '-days', '2', '-subj', "
	"'/CN=www.example.com',\n"
	"  '-addext', 'subjectAltName=DNS:www.example.com'], check=True, stderr=subprocess.DEVNULL)\n"
	"class H(http.server.BaseHTTPRequestHandler):\n"
	"  def do_GET(self):\n"
	"    body = b'all is well for ' + self.headers['Host'].encode() + b' by ' + self.command.encode()\n"
	"    if self.path == '/slow': time.sleep(3)\n"
	"    if self.path == '/garbage':\n"
	"      self.wfile.write(b'SSH-2.0-none\\r\\n'); return\n"
	"    if self.path == '/big': body = b'x' * 200000 + b'end'\n"
	"    self.send_response({'/500': 500, '/302': 302}.get(self.path, 200))\n"
	"    if self.path == '/302': self.send_header('Location', '/500')\n"
	"    self.end_headers()\n"
	"    if self.command != 'HEAD': self.wfile.write(body)\n"
	"  do_HEAD = do_GET\n"
	"  def log_message(self, *_): pass\n"
	"class Server(http.server.ThreadingHTTPServer):\n"
	"  def handle_error(self, *_): pass\n"
	"plain, tls = Server(('127.0.0.1', 0), H), Server(('127.0.0.1', 0), H)\n"
	"c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
	"c.load_cert_chain(d + '/cert.pem', d + '/key.pem')\n"
	"tls.socket = c.wrap_socket(tls.socket, server_side=True)\n"
	"threading.Thread(target=tls.serve_forever, daemon=True).start()\n"
	"print(plain.server_port, tls.server_port, flush=True)\n"
	"plain.serve_forever()\n";

struct fixture {
	sd_event *loop;
	struct http_checks *checks;
	pid_t server;
	char dir[32];
	struct addr addr;
	uint16_t plain, tls;
	unsigned results;
	enum http_result result;
	char text[80];
	bool own;
};

static void start_server(struct fixture *f)
{
	unsigned plain, tls;
	int fds[2];
	FILE *in;

	strcpy(f->dir, "/tmp/turnout-check-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	ck_assert_int_eq(pipe(fds), 0);
	f->server = fork();
	ck_assert_int_ge(f->server, 0);
	if (f->server == 0) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		execl("/usr/bin/python3", "python3", "-c", SERVER, f->dir, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	in = fdopen(fds[0], "r");
	ck_assert_int_eq(fscanf(in, "%u %u", &plain, &tls), 2);
	fclose(in);
	f->plain = (uint16_t)plain;
	f->tls = (uint16_t)tls;
	addr_parse("127.0.0.1", &f->addr);
}

static struct fixture *start(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	ck_assert_int_ge(sd_event_new(&f->loop), 0);
	ck_assert_int_eq(http_checks_new(&f->checks, f->loop), 0);
	start_server(f);
	return f;
}

static void end(struct fixture *f)
{
	static const char *const files[] = {"key.pem", "cert.pem"};
	char path[64];

	kill(f->server, SIGKILL);
	waitpid(f->server, NULL, 0);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, files[i]);
		unlink(path);
	}
	rmdir(f->dir);
	http_checks_free(f->checks);
	sd_event_unref(f->loop);
	free(f);
}

static void on_done(void *ctx, enum http_result result, const char *text)
{
	struct fixture *f = ctx;

	f->results++;
	f->result = result;
	snprintf(f->text, sizeof(f->text), "%s", text);
}

static void run(struct fixture *f, unsigned results, uint64_t ms)
{
	uint64_t until = daemon_now_ms() + ms;

	for (uint64_t now = daemon_now_ms(); now < until && f->results < results; now = daemon_now_ms())
		ck_assert_int_ge(sd_event_run(f->loop, (until - now) * 1000), 0);
}

static void ask(struct fixture *f, const struct check_conf *conf, bool tls, uint16_t port)
{
	struct http_check *k;

	f->results = 0;
	ck_assert_int_eq(http_check_start(&k, f->checks, conf, tls, &f->addr, port, on_done, f), 0);
	ck_assert_uint_eq(f->results, 0);
	run(f, 1, 5000);
	ck_assert_uint_eq(f->results, 1);
}

static void expect(struct fixture *f, struct check_conf conf, enum http_result result, const char *text)
{
	ask(f, &conf, false, f->plain);
	ck_assert_msg(!strncmp(f->text, text, strlen(text)), "'%s'", f->text);
	ck_assert_int_eq(f->result, result);
}

#define PATH(p)                                                                                                        \
	.path = (char[])                                                                                               \
	{                                                                                                              \
		p                                                                                                      \
	}

START_TEST(test_answers_are_judged_SVC_2)
{
	struct fixture *f = start();
	char *only[] = {(char[]){"302"}, (char[]){"500-599"}};

	expect(f, (struct check_conf){0}, HTTP_GOOD, "HTTP status 200 in ");
	expect(f, (struct check_conf){PATH("/500")}, HTTP_BAD, "HTTP status 500");
	expect(f, (struct check_conf){PATH("/302")}, HTTP_GOOD, "HTTP status 302"); /* not followed */
	expect(f, (struct check_conf){PATH("/500"), .expect_status = {only, 2}}, HTTP_GOOD, "HTTP status 500 in ");
	expect(f, (struct check_conf){PATH("/"), .expect_status = {only, 2}}, HTTP_BAD, "HTTP status 200");
	expect(f, (struct check_conf){.expect_body = (char[]){"all is well"}}, HTTP_GOOD, "HTTP status 200 in ");
	expect(f, (struct check_conf){.expect_body = (char[]){"all is lost"}}, HTTP_BAD,
	       "HTTP status 200, but without the expected text");
	expect(f,
	       (struct check_conf){.host = (char[]){"www.example.com"},
				   .expect_body = (char[]){"www.example.com by GET"}},
	       HTTP_GOOD, "HTTP status 200 in ");
	expect(f, (struct check_conf){.method = CHECK_HEAD}, HTTP_GOOD, "HTTP status 200 in ");
	expect(f, (struct check_conf){PATH("/garbage")}, HTTP_BAD, "");
	ck_assert_str_ne(f->text, "");
	end(f);
}
END_TEST

START_TEST(test_long_answers_are_cut_short_SVC_2)
{
	struct fixture *f = start();

	expect(f, (struct check_conf){PATH("/big")}, HTTP_GOOD, "HTTP status 200 in ");
	expect(f, (struct check_conf){PATH("/big"), .expect_body = (char[]){"xxx"}}, HTTP_GOOD, "HTTP status 200 in ");
	expect(f, (struct check_conf){PATH("/big"), .expect_body = (char[]){"end"}}, HTTP_BAD,
	       "HTTP status 200, but without");
	end(f);
}
END_TEST

START_TEST(test_certificates_SVC_2)
{
	struct fixture *f = start();
	char ca[64];
	struct check_conf conf = {.verify = true};

	snprintf(ca, sizeof(ca), "%s/cert.pem", f->dir);
	ask(f, &conf, true, f->tls);
	ck_assert_int_eq(f->result, HTTP_BAD);
	ck_assert_msg(strstr(f->text, "certificate") != NULL, "'%s'", f->text);
	conf.ca_file = ca; /* trusted now, but it is for another name */
	ask(f, &conf, true, f->tls);
	ck_assert_int_eq(f->result, HTTP_BAD);
	conf.host = (char[]){"www.example.com"};
	ask(f, &conf, true, f->tls);
	ck_assert_msg(f->result == HTTP_GOOD, "'%s'", f->text);
	conf = (struct check_conf){0};
	ask(f, &conf, true, f->tls);
	ck_assert_msg(f->result == HTTP_GOOD, "'%s'", f->text);
	conf = (struct check_conf){.verify = true, .ca_file = (char[]){"/nonexistent"}};
	ask(f, &conf, true, f->tls);
	ck_assert_int_eq(f->result, HTTP_BAD);
	ask(f, &conf, true, f->plain); /* speaks no TLS */
	ck_assert_int_eq(f->result, HTTP_BAD);
	end(f);
}
END_TEST

START_TEST(test_refused_and_cancelled_SVC_2)
{
	struct fixture *f = start();
	struct check_conf conf = {PATH("/slow")};
	struct http_check *k;

	kill(f->server, SIGSTOP);
	ck_assert_int_eq(http_check_start(&k, f->checks, &conf, false, &f->addr, f->plain, on_done, f), 0);
	run(f, 1, 200);
	http_check_cancel(k);
	run(f, 1, 200);
	ck_assert_uint_eq(f->results, 0);
	kill(f->server, SIGCONT);
	ask(f, &conf, false, 1);
	ck_assert_int_eq(f->result, HTTP_BAD);
	ck_assert_str_eq(f->text, "Connection refused");
	end(f);
}
END_TEST

/* ---- with the checker ---- */

static void on_result(void *ctx, size_t number, bool good, const char *text)
{
	struct fixture *f = ctx;

	ck_assert_uint_eq(number, 0);
	ck_assert(f->own);
	on_done(f, good ? HTTP_GOOD : HTTP_BAD, text);
}

static void on_own(void *ctx, const struct addr *addr)
{
	struct fixture *f = ctx;

	f->own = addr_equal(addr, &f->addr);
}

START_TEST(test_checks_again_and_again_and_gives_up_in_time_SVC_2)
{
	static const struct check_handler handler = {.result = on_result, .own = on_own};
	struct fixture *f = start();
	struct check_conf conf = {0}, slow = {PATH("/slow")};
	struct check_target t = {.addr = f->addr,
				 .port = f->plain,
				 .interval_ms = 100,
				 .timeout_ms = 90,
				 .type = CHECK_HTTP,
				 .conf = &conf};
	struct checker *c;

	ck_assert_int_eq(checker_new(&c, f->loop, &t, 1, &handler, f), 0);
	run(f, 5, 5000);
	ck_assert_uint_eq(f->results, 5);
	ck_assert_int_eq(f->result, HTTP_GOOD);
	checker_free(c);
	t.conf = &slow;
	f->results = 0;
	ck_assert_int_eq(checker_new(&c, f->loop, &t, 1, &handler, f), 0);
	run(f, 2, 2000);
	ck_assert_uint_eq(f->results, 2);
	ck_assert_int_eq(f->result, HTTP_BAD);
	ck_assert_str_eq(f->text, "no answer within 90 ms");
	run(f, 3, 50); /* one is under way */
	checker_free(c);
	end(f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("check_http_io");
	TCase *tc = tcase_create("check_http_io");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, test_answers_are_judged_SVC_2);
	tcase_add_test(tc, test_long_answers_are_cut_short_SVC_2);
	tcase_add_test(tc, test_certificates_SVC_2);
	tcase_add_test(tc, test_refused_and_cancelled_SVC_2);
	tcase_add_test(tc, test_checks_again_and_again_and_gives_up_in_time_SVC_2);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
