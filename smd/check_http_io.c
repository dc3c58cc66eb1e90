/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HTTP and HTTPS requests on an event loop; see check_http_io.h.  Must not
 * know when a check is due, nor what a result means.
 */
#include "smd/check_http_io.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/daemon.h"

#define ACCURACY_US 1000u
#define URL_MOST    2048u
#define TEXT_MOST   64u

struct http_checks {
	sd_event *loop;
	sd_event_source *timer;
	CURLM *multi;
};

struct http_check {
	struct http_checks *checks;
	const struct check_conf *conf;
	CURL *easy;
	struct curl_slist *headers, *connect_to;
	http_done done;
	void *ctx;
	uint64_t started_ns;
	char *body;
	size_t body_len; /* of what has come, not more than HTTP_BODY_MOST of it kept */
	bool enough;     /* the rest of the answer is not needed */
	char error[CURL_ERROR_SIZE];
};

static int negative_errno(CURLMcode code)
{
	return code == CURLM_OK ? 0 : code == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

/* ---- the loop ---- */

static void reap(struct http_checks *h);

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct http_checks *h = userdata;
	int what = 0, running;

	(void)source;
	what |= events & EPOLLIN ? CURL_CSELECT_IN : 0;
	what |= events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
	what |= events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
	curl_multi_socket_action(h->multi, fd, what, &running);
	reap(h);
	return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct http_checks *h = userdata;
	int running;

	(void)source;
	(void)usec;
	curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(h);
	return 0;
}

/* libcurl wants to hear of this socket; kept: the source made for it before. */
static int want_io(CURL *easy, curl_socket_t fd, int what, void *ctx, void *kept)
{
	struct http_checks *h = ctx;
	sd_event_source *source = kept;
	uint32_t events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		sd_event_source_disable_unref(source);
		curl_multi_assign(h->multi, fd, NULL);
		return 0;
	}
	events |= what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0;
	events |= what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0;
	if (source)
		return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
	if (sd_event_add_io(h->loop, &source, fd, events, on_io, h) < 0)
		return -1;
	curl_multi_assign(h->multi, fd, source);
	return 0;
}

static int want_time(CURLM *multi, long ms, void *ctx)
{
	struct http_checks *h = ctx;
	int r;

	(void)multi;
	if (ms < 0)
		return sd_event_source_set_enabled(h->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
	r = sd_event_source_set_time_relative(h->timer, (uint64_t)ms * 1000);
	if (r >= 0)
		r = sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
	return r < 0 ? -1 : 0;
}

int http_checks_new(struct http_checks **checks, sd_event *loop)
{
	struct http_checks *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	h->loop = sd_event_ref(loop);
	r = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
	if (r >= 0)
		r = sd_event_add_time(loop, &h->timer, CLOCK_MONOTONIC, 0, ACCURACY_US, on_time, h);
	if (r >= 0)
		r = sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
	if (r >= 0) {
		h->multi = curl_multi_init();
		r = h->multi ? 0 : -ENOMEM;
	}
	if (r < 0) {
		http_checks_free(h);
		return r;
	}
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_io);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_time);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	*checks = h;
	return 0;
}

void http_checks_free(struct http_checks *h)
{
	if (!h)
		return;
	if (h->multi)
		curl_multi_cleanup(h->multi);
	curl_global_cleanup();
	sd_event_source_disable_unref(h->timer);
	sd_event_unref(h->loop);
	free(h);
}

/* ---- the question ---- */

/* Part of the body.  Taking less than all of it ends the transfer. */
static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
	struct http_check *k = ctx;
	size_t len = size * count, room = HTTP_BODY_MOST - k->body_len;
	size_t take = len < room ? len : room;

	if (k->body)
		memcpy(k->body + k->body_len, data, take);
	k->body_len += take;
	k->enough = k->body_len == HTTP_BODY_MOST;
	return k->enough ? 0 : len;
}

static bool set_destination(struct http_check *k, bool tls, const struct addr *addr, uint16_t port)
{
	char where[ENDPOINT_STRLEN], connect_to[ENDPOINT_STRLEN + 2], header[320], url[URL_MOST];
	const struct check_conf *c = k->conf;
	const char *path = c->path ? c->path : "/";

	endpoint_print(addr, port, where);
	snprintf(connect_to, sizeof(connect_to), "::%s", where);
	k->connect_to = curl_slist_append(NULL, connect_to);
	if (c->host) {
		snprintf(header, sizeof(header), "Host: %s", c->host);
		k->headers = curl_slist_append(NULL, header);
		snprintf(url, sizeof(url), "%s://%s:%u%s", tls ? "https" : "http", c->host, port, path);
	} else {
		snprintf(url, sizeof(url), "%s://%s%s", tls ? "https" : "http", where, path);
	}
	if (!k->connect_to || (c->host && !k->headers))
		return false;
	curl_easy_setopt(k->easy, CURLOPT_CONNECT_TO, k->connect_to);
	curl_easy_setopt(k->easy, CURLOPT_HTTPHEADER, k->headers);
	return curl_easy_setopt(k->easy, CURLOPT_URL, url) == CURLE_OK;
}

static void set_options(struct http_check *k, bool tls)
{
	CURL *e = k->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, k);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, k->error);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, k);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "turnout-smd/" TURNOUT_VERSION);
	curl_easy_setopt(e, CURLOPT_NOBODY, k->conf->method == CHECK_HEAD ? 1L : 0L);
	if (!tls)
		return;
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, k->conf->verify ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, k->conf->verify ? 2L : 0L);
	if (k->conf->ca_file) {
		curl_easy_setopt(e, CURLOPT_CAINFO, k->conf->ca_file);
		curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	}
}

static void free_check(struct http_check *k)
{
	if (k->easy)
		curl_easy_cleanup(k->easy);
	curl_slist_free_all(k->headers);
	curl_slist_free_all(k->connect_to);
	free(k->body);
	free(k);
}

int http_check_start(struct http_check **check, struct http_checks *h, const struct check_conf *conf, bool tls,
		     const struct addr *addr, uint16_t port, http_done done, void *ctx)
{
	struct http_check *k = calloc(1, sizeof(*k));
	CURLMcode code;

	if (!k)
		return -ENOMEM;
	*k = (struct http_check){.checks = h, .conf = conf, .done = done, .ctx = ctx, .started_ns = daemon_now_ns()};
	k->easy = curl_easy_init();
	k->body = conf->expect_body ? malloc(HTTP_BODY_MOST) : NULL;
	if (!k->easy || (conf->expect_body && !k->body) || !set_destination(k, tls, addr, port)) {
		free_check(k);
		return -ENOMEM;
	}
	set_options(k, tls);
	code = curl_multi_add_handle(h->multi, k->easy); /* begins when its timer is due: at once, but not in here */
	if (code != CURLM_OK) {
		free_check(k);
		return negative_errno(code);
	}
	*check = k;
	return 0;
}

void http_check_cancel(struct http_check *k)
{
	curl_multi_remove_handle(k->checks->multi, k->easy);
	free_check(k);
}

/* ---- the answer ---- */

static bool has_body(const struct http_check *k)
{
	const char *wanted = k->conf->expect_body;

	return !wanted || memmem(k->body, k->body_len, wanted, strlen(wanted)) != NULL;
}

static enum http_result judge_answer(struct http_check *k, char text[TEXT_MOST])
{
	uint64_t us = (daemon_now_ns() - k->started_ns) / 1000;
	long status = 0;

	curl_easy_getinfo(k->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!smd_config_status_good(k->conf, (unsigned)status)) {
		snprintf(text, TEXT_MOST, "HTTP status %ld", status);
		return HTTP_BAD;
	}
	if (!has_body(k)) {
		snprintf(text, TEXT_MOST, "HTTP status %ld, but without the expected text", status);
		return HTTP_BAD;
	}
	snprintf(text, TEXT_MOST, "HTTP status %ld in %llu.%llu ms", status, (unsigned long long)us / 1000,
		 (unsigned long long)us / 100 % 10);
	return HTTP_GOOD;
}

static enum http_result judge_failure(struct http_check *k, CURLcode code, char text[TEXT_MOST])
{
	long error = 0;

	curl_easy_getinfo(k->easy, CURLINFO_OS_ERRNO, &error);
	if (code == CURLE_COULDNT_CONNECT && error && strerrordesc_np((int)error))
		snprintf(text, TEXT_MOST, "%s", strerrordesc_np((int)error));
	else
		snprintf(text, TEXT_MOST, "%.*s", (int)TEXT_MOST - 1,
			 k->error[0] ? k->error : curl_easy_strerror(code));
	return code == CURLE_OUT_OF_MEMORY || code == CURLE_FAILED_INIT || error == EMFILE || error == ENFILE ||
			       error == ENOBUFS || error == EADDRNOTAVAIL
		       ? HTTP_CANNOT
		       : HTTP_BAD;
}

static void finish(struct http_check *k, CURLcode code)
{
	bool answered = code == CURLE_OK || (code == CURLE_WRITE_ERROR && k->enough);
	char text[TEXT_MOST];
	enum http_result result = answered ? judge_answer(k, text) : judge_failure(k, code, text);
	http_done done = k->done;
	void *ctx = k->ctx;

	http_check_cancel(k); /* it may be started again in there */
	done(ctx, result, text);
}

static void reap(struct http_checks *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left))) {
		CURLcode code = m->data.result;
		char *private = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
		finish((struct http_check *)(void *)private, code);
	}
}
