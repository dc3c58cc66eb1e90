/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing the configuration reader: any bytes are either a configuration or
 * errors, and everything is freed.  The table has each kind of field once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conf.h"
#include "tests/fuzz/config.h"

struct fuzz_item {
	char *name;
	struct conf_list numbers;
};

struct fuzz_config {
	bool flag;
	uint16_t port;
	uint32_t ttl;
	uint64_t identity;
	int choice;
	struct conf_prefix prefix;
	struct conf_list peers, addrs, items;
	struct fuzz_item item;
};

static const struct conf_choice choices[] = {{"a", 1}, {"b", 2}, {NULL, 0}};

#define ITEM(n, k, field, ...)                                                                                         \
	{                                                                                                              \
		.name = n, .kind = k, .offset = offsetof(struct fuzz_item, field), ##__VA_ARGS__                       \
	}
#define FIELD(n, k, field, ...)                                                                                        \
	{                                                                                                              \
		.name = n, .kind = k, .offset = offsetof(struct fuzz_config, field), ##__VA_ARGS__                     \
	}
#define LIST(k, type) .item = k, .item_size = sizeof(type)

static const struct conf_field item_fields[] = {
	ITEM("name", CONF_STRING, name, .required = true, .max = 9),
	ITEM("numbers", CONF_LIST, numbers, LIST(CONF_U64, uint64_t), .max = 3),
	{.name = NULL},
};
static const struct conf_mapping item_mapping = {.name = "item", .fields = item_fields, .lone = "name"};

static const struct conf_field fields[] = {
	FIELD("flag", CONF_BOOL, flag),
	FIELD("port", CONF_U16, port, .min = 1, .fallback = "7"),
	FIELD("ttl", CONF_DURATION, ttl, .fallback = "1s"),
	FIELD("identity", CONF_U64, identity),
	FIELD("choice", CONF_ENUM, choice, .choices = choices),
	FIELD("prefix", CONF_PREFIX, prefix),
	FIELD("peers", CONF_LIST, peers, LIST(CONF_ENDPOINT, struct conf_endpoint)),
	FIELD("addrs", CONF_LIST, addrs, LIST(CONF_ADDR, struct addr), .fallback = "192.0.2.1"),
	FIELD("items", CONF_LIST, items, LIST(CONF_MAP, struct fuzz_item), .sub = &item_mapping),
	FIELD("item", CONF_MAP, item, .sub = &item_mapping),
	{.name = NULL},
};
static const struct conf_mapping mapping = {.name = "config", .fields = fields};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_config config = {0};
	char errors[4096] = "";

	if (conf_load_text("f", (const char *)data, size, &mapping, sizeof(config), &config, errors, sizeof(errors)))
		conf_free(&mapping, sizeof(config), &config);
	else if (errors[0] == '\0')
		abort(); /* refused without saying why */
	return 0;
}
