/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a daemon was configured to, as rows of the admin bus: so that
 * turnoutctl doctor knows which interfaces and sockets to look at.
 *
 * Pure; never a secret.  ARCH-7.
 */
#ifndef TURNOUT_LIB_SETTINGS_H
#define TURNOUT_LIB_SETTINGS_H

#include "lib/endpoint_io.h"
#include "proto/admin.pb-c.h"

#define SETTINGS_MAX 24

/* The rows of one reply and what they point to; zero-initialised, owned by the caller. */
struct settings {
	Turnout__SettingRow rows[SETTINGS_MAX];
	Turnout__SettingRow *pointers[SETTINGS_MAX];
	char values[SETTINGS_MAX][256]; /* cut off beyond that */
	size_t count;
};

/* name: static, as in the configuration file. */
void settings_add(struct settings *s, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* `control.*` and the number of `security.keys`. */
void settings_add_endpoint(struct settings *s, const struct endpoint_conf *control, const struct security_conf *keys);
/* *s must live as long as *reply. */
void settings_give(struct settings *s, Turnout__Reply *reply);

#endif
