// SPDX-License-Identifier: Apache-2.0
// What a person types to `weft trace`: any text becomes a frame that the parser takes, or a
// sentence.
#include "operate/packet_text.h"

#include <string.h>

#include "datapath/frames/packet.h"
#include "fuzz.h"

static bool resolve(void *arg, const struct ip_addr *ip, struct mac_addr *out)
{
	(void)arg;
	*out = (struct mac_addr) {{0xfa, 0x16, 0x3e, 0, 0, ip->b[3]}};
	return ip->b[3] % 2 == 0;
}

static void check_frame(const uint8_t *frame, size_t len)
{
	// An exact copy, so that a length beyond what was written is seen.
	uint8_t *copy = malloc(len + 1);
	char line[256];
	struct packet p;
	fuzz_assert(len <= PACKET_FRAME_MAX);
	memcpy(copy, frame, len);
	weft_packet_parse(copy, len, len, 1, &p);
	weft_packet_text(copy, len, &p, line, sizeof(line));
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t frame[PACKET_FRAME_MAX];
	struct packet_sender from = {.mac = {{0xfa, 0x16, 0x3e, 0, 0, 1}},
				     .ip4 = {4, {10, 0, 0, 5}},
				     .resolve = resolve};
	struct err err = {.msg = ""};
	size_t n = 0;
	char *text = malloc(len + 1);
	memcpy(text, data, len);
	text[len] = '\0';
	if (weft_packet_from_text(text, &from, frame, &n, &err) == 0)
		check_frame(frame, n);
	else
		fuzz_assert(err.msg[0] != '\0' && strchr(err.msg, '\n') == NULL);
	if (weft_packet_from_hex(text, frame, &n, &err) == 0)
		check_frame(frame, n);
	free(text);
	return 0;
}
