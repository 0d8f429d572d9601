// SPDX-License-Identifier: Apache-2.0
#include "north/api/framing.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct head {
	unsigned lengths, encodings, hosts;
	const char *fault;
};

// RFC 9110 5.6.2. A blank before the colon is the classic: some see a field there and some do not.
static bool is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)s[i]) &&
		    (s[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s[i]) == NULL))
			return false;
	}
	return len > 0;
}

// RFC 9110 5.5: NUL, CR and LF make a field ambiguous.
static bool is_value(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
			return false;
	}
	return true;
}

static bool is_number(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)s[i]))
			return false;
	}
	return len > 0 && len < 20;
}

static enum MHD_Result look(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_len,
			    const char *value, size_t len)
{
	struct head *h = arg;

	(void)kind;
	if (value == NULL)
		value = "";
	if (!is_token(name, name_len))
		h->fault = "A header's name has characters that names do not have.";
	else if (!is_value(value, len))
		h->fault = "A header's value has control characters.";
	else if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0 && ++h->hosts > 1)
		h->fault = "There is more than one Host.";
	else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0 && ++h->lengths > 1)
		h->fault = "There is more than one Content-Length.";
	else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0 && !is_number(value, len))
		h->fault = "The Content-Length is no number.";
	else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0 &&
		 (++h->encodings > 1 || strcasecmp(value, "chunked") != 0))
		h->fault = "The only Transfer-Encoding that is understood is 'chunked'.";
	return h->fault == NULL ? MHD_YES : MHD_NO;
}

// Texts from libmicrohttpd end at the first NUL, but the version stands right behind the target
// that it was cut from. (From 0.9.77 on it looks for NULs itself.)
static bool has_nul(const char *raw, const char *target, const char *version)
{
#if MHD_VERSION < 0x00097700
	uintptr_t end = (uintptr_t)raw + strlen(target) + 1;
	return (uintptr_t)version > end && *version != '\0';
#else
	(void)raw;
	(void)target;
	(void)version;
	return false;
#endif
}

const char *weft_framing_fault(struct MHD_Connection *connection, const char *raw,
			       const char *target, const char *version)
{
	struct head h = {0};

	if (has_nul(raw, target, version) || !is_value(target, strlen(target)) ||
	    strchr(target, ' ') != NULL || strchr(target, '\t') != NULL)
		return "The request's target has blanks or control characters.";
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		return "The version of HTTP is not 1.0 or 1.1.";
	MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look, &h);
	if (h.fault != NULL)
		return h.fault;
	if (h.lengths > 0 && h.encodings > 0)
		return "There is a Content-Length and a Transfer-Encoding.";
	if (h.encodings > 0 && strcmp(version, "HTTP/1.0") == 0)
		return "HTTP/1.0 has no Transfer-Encoding.";
	if (h.hosts == 0 && strcmp(version, "HTTP/1.1") == 0)
		return "There is no Host.";
	return NULL;
}
