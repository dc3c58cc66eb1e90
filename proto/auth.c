/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message authentication with libcrypto.  What is costly is done once a key:
 * fetching the algorithm, and hashing the key into an HMAC context; a message
 * then costs its own bytes.
 *
 * Must not know files, sockets or clocks, nor what a message says beyond its
 * header and security segment.  SEC-1, SEC-2, SEC-3, MSG-13.
 */
#include "proto/auth.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define DIGEST_MAX 32

struct auth_key {
	uint32_t id;
	uint8_t scheme; /* MD5 or HMAC_SHA256; the short scheme uses a key of the latter */
	uint8_t secret[AUTH_MAX_SECRET];
	size_t secret_len;
	uint64_t *identities;
	size_t identity_count;
	EVP_MAC_CTX *hmac;  /* keyed; initialised again without a key for each message */
	EVP_MD_CTX *digest; /* MD5 */
	struct auth_key *next;
};

struct auth_ring {
	struct auth_key *keys;
	struct auth_key *use; /* signs; NULL: nothing is signed */
	EVP_MAC *hmac;
	EVP_MD *md5; /* NULL where the library has none */
};

struct auth_ring *auth_ring_new(void)
{
	struct auth_ring *ring = calloc(1, sizeof *ring);
	if (!ring)
		return NULL;
	ring->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	ring->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
	if (!ring->hmac) {
		auth_ring_free(ring);
		return NULL;
	}
	return ring;
}

static void free_key(struct auth_key *k)
{
	EVP_MAC_CTX_free(k->hmac);
	EVP_MD_CTX_free(k->digest);
	free(k->identities);
	OPENSSL_cleanse(k, sizeof *k);
	free(k);
}

void auth_ring_free(struct auth_ring *ring)
{
	if (!ring)
		return;
	while (ring->keys) {
		struct auth_key *k = ring->keys;
		ring->keys = k->next;
		free_key(k);
	}
	EVP_MAC_free(ring->hmac);
	EVP_MD_free(ring->md5);
	free(ring);
}

static struct auth_key *find_key(const struct auth_ring *ring, uint32_t id)
{
	for (struct auth_key *k = ring->keys; k; k = k->next)
		if (k->id == id)
			return k;
	return NULL;
}

/* The algorithm's context, with the key in it. */
static bool prepare_key(struct auth_ring *ring, struct auth_key *k)
{
	if (k->scheme == WIRE_SCHEME_MD5) {
		k->digest = ring->md5 ? EVP_MD_CTX_new() : NULL;
		return k->digest != NULL;
	}
	char sha256[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
		OSSL_PARAM_construct_end(),
	};
	k->hmac = EVP_MAC_CTX_new(ring->hmac);
	return k->hmac && EVP_MAC_init(k->hmac, k->secret, k->secret_len, params) == 1;
}

bool auth_ring_add(struct auth_ring *ring, uint32_t id, unsigned scheme, const void *secret, size_t len,
		   const uint64_t *identities, size_t count)
{
	if (scheme != WIRE_SCHEME_MD5 && scheme != WIRE_SCHEME_HMAC_SHA256)
		return false;
	if (len == 0 || len > AUTH_MAX_SECRET || find_key(ring, id))
		return false;
	struct auth_key *k = calloc(1, sizeof *k);
	if (!k)
		return false;
	k->id = id;
	k->scheme = (uint8_t)scheme;
	memcpy(k->secret, secret, len);
	k->secret_len = len;
	k->identity_count = count;
	k->identities = count ? calloc(count, sizeof *identities) : NULL;
	if ((count && !k->identities) || !prepare_key(ring, k)) {
		free_key(k);
		return false;
	}
	if (count)
		memcpy(k->identities, identities, count * sizeof *identities);
	k->next = ring->keys;
	ring->keys = k;
	return true;
}

bool auth_ring_use(struct auth_ring *ring, uint32_t id)
{
	struct auth_key *k = find_key(ring, id);
	if (!k)
		return false;
	ring->use = k;
	return true;
}

bool auth_ring_expects(const struct auth_ring *ring)
{
	return ring->keys != NULL;
}

void auth_prepare(const struct auth_ring *ring, struct wire_msg *m)
{
	const struct auth_key *k = ring->use;
	if (!k)
		return;
	bool brief = k->scheme == WIRE_SCHEME_HMAC_SHA256 && m->h.type == WIRE_PACKET;
	m->security.scheme = brief ? WIRE_SCHEME_HMAC_SHA256_8 : k->scheme;
	m->security.key_id = k->id;
	wire_set(m, WIRE_SEG_SECURITY, false);
}

static bool compute_hmac(struct auth_key *k, const uint8_t *buf, size_t len, uint8_t digest[DIGEST_MAX])
{
	size_t n;
	return EVP_MAC_init(k->hmac, NULL, 0, NULL) == 1 && EVP_MAC_update(k->hmac, buf, len) == 1 &&
	       EVP_MAC_final(k->hmac, digest, &n, DIGEST_MAX) == 1;
}

static bool compute_md5(const struct auth_ring *ring, struct auth_key *k, const uint8_t *buf, size_t len,
			uint8_t digest[DIGEST_MAX])
{
	return EVP_DigestInit_ex2(k->digest, ring->md5, NULL) == 1 &&
	       EVP_DigestUpdate(k->digest, k->secret, k->secret_len) == 1 &&
	       EVP_DigestUpdate(k->digest, buf, len) == 1 &&
	       EVP_DigestUpdate(k->digest, k->secret, k->secret_len) == 1 &&
	       EVP_DigestFinal_ex(k->digest, digest, NULL) == 1;
}

static bool compute(const struct auth_ring *ring, struct auth_key *k, const uint8_t *buf, size_t len,
		    uint8_t digest[DIGEST_MAX])
{
	return k->hmac ? compute_hmac(k, buf, len, digest) : compute_md5(ring, k, buf, len, digest);
}

/* May this key make a MAC of that scheme in this message? */
static bool scheme_fits(const struct auth_key *k, unsigned scheme, unsigned type)
{
	if (scheme == WIRE_SCHEME_HMAC_SHA256_8)
		return k->scheme == WIRE_SCHEME_HMAC_SHA256 && type == WIRE_PACKET;
	return scheme == k->scheme;
}

static bool may_use(const struct auth_key *k, uint64_t identity)
{
	for (size_t i = 0; i < k->identity_count; i++)
		if (k->identities[i] == identity)
			return true;
	return k->identity_count == 0;
}

bool auth_sign(struct auth_ring *ring, uint8_t *buf, size_t len)
{
	struct wire_header h;
	struct wire_security s;
	if (wire_peek(buf, len, &h, &s) != WIRE_OK)
		return false;
	if (s.scheme == 0)
		return ring->use == NULL;
	struct auth_key *k = find_key(ring, s.key_id);
	if (!k || !scheme_fits(k, s.scheme, h.type))
		return false;
	uint8_t digest[DIGEST_MAX];
	memset(buf + s.mac_offset, 0, s.mac_len);
	if (!compute(ring, k, buf, len, digest))
		return false;
	memcpy(buf + s.mac_offset, digest, s.mac_len);
	return true;
}

enum auth_verdict auth_check(struct auth_ring *ring, uint8_t *buf, size_t len, const struct wire_header *h,
			     const struct wire_security *s)
{
	if (!auth_ring_expects(ring))
		return AUTH_OK;
	if (s->scheme == 0)
		return AUTH_ABSENT;
	struct auth_key *k = find_key(ring, s->key_id);
	if (!k)
		return AUTH_UNKNOWN_KEY;
	if (!scheme_fits(k, s->scheme, h->type))
		return AUTH_SCHEME;
	if (!may_use(k, h->source))
		return AUTH_IDENTITY;
	uint8_t got[WIRE_MAX_MAC], digest[DIGEST_MAX];
	uint8_t *mac = buf + s->mac_offset;
	memcpy(got, mac, s->mac_len);
	memset(mac, 0, s->mac_len);
	bool computed = compute(ring, k, buf, len, digest);
	memcpy(mac, got, s->mac_len);
	return computed && CRYPTO_memcmp(got, digest, s->mac_len) == 0 ? AUTH_OK : AUTH_WRONG;
}

const char *auth_verdict_name(enum auth_verdict v)
{
	static const char *const names[] = {
		[AUTH_OK] = "ok",         [AUTH_ABSENT] = "absent",     [AUTH_UNKNOWN_KEY] = "unknown-key",
		[AUTH_SCHEME] = "scheme", [AUTH_IDENTITY] = "identity", [AUTH_WRONG] = "wrong",
	};
	return (size_t)v < sizeof names / sizeof names[0] ? names[v] : "unknown";
}
