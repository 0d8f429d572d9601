// SPDX-License-Identifier: Apache-2.0
#include "datapath/frames/drop.h"

static const struct {
	const char *word, *sentence;
} drops[DROP_COUNT] = {
#define DROP(name, word, sentence) [DROP_##name] = {word, sentence},
	WEFT_DROPS(DROP)
#undef DROP
};

const char *weft_drop_word(enum drop reason)
{
	return (unsigned)reason < DROP_COUNT ? drops[reason].word : "unknown";
}

const char *weft_drop_sentence(enum drop reason)
{
	return (unsigned)reason < DROP_COUNT ? drops[reason].sentence : "Not a drop reason.";
}
