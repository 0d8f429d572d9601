// SPDX-License-Identifier: Apache-2.0
#include "north/api/framing.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct head {
	unsigned lengths, encodings, hosts;
	const char *at; // the end of what was looked at
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

// libmicrohttpd takes LF alone for a line's end, cuts a text at a NUL and puts folded lines
// together, where others see one line or two. It writes NULs over what ends a text, in place, so
// where a text lies says what stood before it. Only NULs together with LFs alone, and a line
// without a name, may look like CR LF; nobody forwards these. (From 0.9.77 on it looks for all
// that itself.)

static bool is_line_after(const char *end, const char *next)
{
#if MHD_VERSION < 0x00097700
	while (*end == ' ' || *end == '\t')
		end++;
	return (uintptr_t)next == (uintptr_t)end + 2 && end[0] == '\0' && end[1] == '\0';
#else
	(void)end;
	(void)next;
	return true;
#endif
}

static bool is_word_after(const char *word, const char *raw, const char *next)
{
#if MHD_VERSION < 0x00097700
	return (uintptr_t)next == (uintptr_t)raw + strlen(word) + 1;
#else
	(void)word;
	(void)raw;
	(void)next;
	return true;
#endif
}

// The empty line; what is behind it is no longer the head.
static bool is_end_after(struct MHD_Connection *connection, const char *method, const char *end)
{
#if MHD_VERSION < 0x00097700
	const union MHD_ConnectionInfo *size =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	return size != NULL && is_line_after(end, method + size->header_size - 2);
#else
	(void)connection;
	(void)method;
	(void)end;
	return true;
#endif
}

static enum MHD_Result look(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_len,
			    const char *value, size_t len)
{
	struct head *h = arg;

	(void)kind;
	if (value == NULL)
		value = "";
	if (!is_line_after(h->at, name))
		h->fault = "A line of the head does not end with CR LF, or has a NUL.";
	else if (!is_token(name, name_len))
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
	h->at = value + len;
	return h->fault == NULL ? MHD_YES : MHD_NO;
}

const char *weft_framing_fault(struct MHD_Connection *connection, const char *method,
			       const char *raw, const char *target, const char *version)
{
	struct head h = {.at = version + strlen(version)};

	if (!is_token(method, strlen(method)))
		return "The request's method has characters that methods do not have.";
	if (!is_word_after(method, method, raw) || !is_word_after(target, raw, version) ||
	    !is_value(target, strlen(target)) || strchr(target, ' ') != NULL ||
	    strchr(target, '\t') != NULL)
		return "The request's target has blanks or control characters.";
	if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
		return "The version of HTTP is not 1.0 or 1.1.";
	MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look, &h);
	if (h.fault != NULL)
		return h.fault;
	if (!is_end_after(connection, method, h.at))
		return "A line of the head does not end with CR LF, or has a NUL.";
	if (h.lengths > 0 && h.encodings > 0)
		return "There is a Content-Length and a Transfer-Encoding.";
	if (h.encodings > 0 && strcmp(version, "HTTP/1.0") == 0)
		return "HTTP/1.0 has no Transfer-Encoding.";
	if (h.hosts == 0 && strcmp(version, "HTTP/1.1") == 0)
		return "There is no Host.";
	return NULL;
}
