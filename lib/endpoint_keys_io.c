/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whom to believe: reading key files into a key ring, and who may be heard at
 * all.  A secret must not be readable by others, and no copy of it outlives its
 * way into the ring.  SEC-1, SEC-3.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "lib/endpoint_priv.h"
#include "lib/exitcode.h"

#define LEAST_SECRET 8  /* whoever records one message can try all shorter ones */
#define GOOD_SECRET  16 /* bytes; fewer are taken with a warning */

#define NOT_FOR_OTHERS (S_IRWXO | S_IWGRP) /* a group may read, as for a daemon that does not run as root */

static int check_file(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		log_error("key file %s cannot be read: %s", path, strerror(errno));
		return EXITCODE_CONFIG;
	}
	if (!S_ISREG(st.st_mode)) {
		log_error("key file %s is not a regular file", path);
		return EXITCODE_CONFIG;
	}
	if (st.st_mode & NOT_FOR_OTHERS) {
		log_error("key file %s can be read or changed by others (mode %04o); do: chmod 600 %s", path,
			  (unsigned)st.st_mode & 07777, path);
		return EXITCODE_CONFIG;
	}
	return EXITCODE_OK;
}

/* Read whole, one byte more than allowed at most.  -1: see errno. */
static ssize_t read_all(int fd, uint8_t *buf, size_t cap)
{
	size_t used = 0;

	while (used < cap) {
		ssize_t n = read(fd, buf + used, cap - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

static int add_secret(struct auth_ring *ring, const struct security_key_conf *key, const uint8_t *secret, size_t len)
{
	if (len > 0 && secret[len - 1] == '\n')
		len--;
	if (len < LEAST_SECRET || len > AUTH_MAX_SECRET) {
		log_error("key file %s: a secret has %d to %d bytes, a newline at the end not counted; this one has "
			  "%s%zu",
			  key->file, LEAST_SECRET, AUTH_MAX_SECRET, len > AUTH_MAX_SECRET ? "more: at least " : "",
			  len);
		return EXITCODE_CONFIG;
	}
	if (len < GOOD_SECRET)
		log_warning(
			"key file %s: a secret of %zu bytes may be guessed; %d or more random ones are better, as of: "
			"openssl rand -hex 32",
			key->file, len, GOOD_SECRET);
	if (!auth_ring_add(ring, key->id, (unsigned)key->scheme, secret, len, key->identities.items,
			   key->identities.count)) {
		log_error("key %u: this machine's libcrypto does not offer %s", key->id,
			  key->scheme == WIRE_SCHEME_MD5 ? "MD5" : "HMAC-SHA-256");
		return EXITCODE_CONFIG;
	}
	return EXITCODE_OK;
}

static int load_key(struct auth_ring *ring, const struct security_key_conf *key)
{
	uint8_t secret[AUTH_MAX_SECRET + 2]; /* the newline, and a byte to see that there is too much */
	int fd = open(key->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), status;
	ssize_t len;

	if (fd < 0) {
		bool denied = errno == EACCES || errno == EPERM;

		log_error("key file %s cannot be opened: %s%s", key->file, strerror(errno),
			  denied ? "; it must be this daemon's user's, or its group's, even for root" : "");
		return denied ? EXITCODE_PRIVILEGE : EXITCODE_CONFIG;
	}
	status = check_file(fd, key->file);
	if (status == EXITCODE_OK) {
		len = read_all(fd, secret, sizeof(secret));
		if (len < 0) {
			log_error("key file %s cannot be read: %s", key->file, strerror(errno));
			status = EXITCODE_CONFIG;
		} else {
			status = add_secret(ring, key, secret, (size_t)len);
		}
		OPENSSL_cleanse(secret, sizeof(secret));
	}
	close(fd);
	return status;
}

static int load_keys(struct auth_ring *ring, const struct security_conf *conf)
{
	const struct security_key_conf *keys = conf->keys.items;
	int status = EXITCODE_OK;

	for (size_t i = 0; i < conf->keys.count && status == EXITCODE_OK; i++)
		status = load_key(ring, &keys[i]);
	if (status == EXITCODE_OK && conf->keys.count > 0)
		auth_ring_use(ring, conf->sign_with != 0 ? conf->sign_with : keys[0].id);
	return status;
}

/* ---- the whole ---- */

int endpoint_trust_load(struct endpoint_trust **out, const struct security_conf *conf)
{
	struct endpoint_trust *t = calloc(1, sizeof(*t));
	size_t count = conf->accept_from.count;
	int status;

	*out = NULL;
	if (t != NULL) {
		t->ring = auth_ring_new();
		t->accept_from = calloc(count + 1, sizeof(*t->accept_from));
	}
	if (t == NULL || t->ring == NULL || t->accept_from == NULL) {
		log_error("cannot set up libcrypto");
		endpoint_trust_free(t);
		return EXITCODE_FAILURE;
	}
	if (count > 0)
		memcpy(t->accept_from, conf->accept_from.items, count * sizeof(*t->accept_from));
	t->accept_count = count;
	status = load_keys(t->ring, conf);
	if (status == EXITCODE_OK)
		*out = t;
	else
		endpoint_trust_free(t);
	return status;
}

void endpoint_trust_free(struct endpoint_trust *t)
{
	if (t == NULL)
		return;
	auth_ring_free(t->ring);
	free(t->accept_from);
	free(t);
}

static bool covers(const struct conf_prefix *p, const struct addr *a)
{
	uint8_t mask[16];

	if (p->addr.family != a->family)
		return false;
	addr_mask(a->family, p->plen, mask);
	for (size_t i = 0; i < addr_len(a->family); i++)
		if ((p->addr.b[i] ^ a->b[i]) & mask[i])
			return false;
	return true;
}

bool endpoint_trust_hears(const struct endpoint_trust *t, const struct addr *a)
{
	for (size_t i = 0; i < t->accept_count; i++)
		if (covers(&t->accept_from[i], a))
			return true;
	return t->accept_count == 0;
}
