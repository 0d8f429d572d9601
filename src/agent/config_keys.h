// SPDX-License-Identifier: Apache-2.0
// The table of configuration keys.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum config_form {
	FORM_TEXT,
	FORM_NUMBER, // uint32_t, min..max
	FORM_CHOICE, // uint32_t, index into choices
	FORM_PATH,   // text, absolute
	FORM_LISTEN, // text, ADDRESS:PORT
	FORM_CORES,  // text, list of core numbers and ranges
};

struct config_key {
	const char *section, *name;
	enum config_form form;
	size_t offset;	       // in struct config
	const char *otherwise; // the default, as one would write it; "" = none
	// CHOICE: "a|b|c"; words after the first '/' are planned, not built: "a|b/c".
	const char *choices;
	uint32_t min, max; // NUMBER
	const char *help;  // a sentence or two
};

extern const struct config_key weft_config_keys[];
extern const size_t weft_config_n_keys;

// Where any name may be a key: what such a line is, for people. The last one has left = NULL.
struct config_example {
	const char *left, *help;
};

struct config_section {
	const char *name, *help;
	const struct config_example *examples; // NULL: it has keys of the table only
};

extern const struct config_section weft_config_sections[];
extern const size_t weft_config_n_sections;

// What may be written for a key, for people: "a number from 1 to 32".
const char *weft_config_allowed(const struct config_key *k, char *buf, size_t size);
