// SPDX-License-Identifier: Apache-2.0
#include "metadata/metadata_headers.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

// Who asks is ours to say: these and whatever begins like them.
static const char *const identity[] = {
	"forwarded",	"x-forwarded-",	 "x-real-ip", "x-neutron-",
	"x-instance-",	"x-tenant-",	 "x-ovn-",    "x-metadata-provider",
	"x-project-id", "x-client-cert", NULL,
};

// Of one connection only, or made anew by the next sender.
static const char *const hop_by_hop[] = {
	"connection",
	"keep-alive",
	"proxy-connection",
	"proxy-authenticate",
	"proxy-authorization",
	"te",
	"trailer",
	"transfer-encoding",
	"upgrade",
	"content-length",
	NULL,
};

// The server has its own name, and gets the whole body or nothing.
static const char *const request_only[] = {"host", "expect", NULL};

static char plain(char c)
{
	return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

static bool begins_as(const char *name, const char *begin)
{
	while (*begin != '\0' && plain(*name) == *begin) {
		name++;
		begin++;
	}
	return *begin == '\0';
}

static bool is_one_of(const char *name, const char *const list[])
{
	for (size_t i = 0; list[i] != NULL; i++)
		if (strcasecmp(name, list[i]) == 0)
			return true;
	return false;
}

static bool is_identity(const char *name)
{
	for (size_t i = 0; identity[i] != NULL; i++)
		if (begins_as(name, identity[i]))
			return true;
	return false;
}

// RFC 9110, 5.6.2.
static bool is_token(const char *name)
{
	if (*name == '\0')
		return false;
	for (; *name != '\0'; name++)
		if (!isalnum((unsigned char)*name) && strchr("!#$%&'*+-.^_`|~", *name) == NULL)
			return false;
	return true;
}

// Is the name one of a Connection header's?
static bool is_named(const char *name, const char *connection)
{
	size_t len = strlen(name);

	while (connection != NULL && *connection != '\0') {
		size_t n;

		connection += strspn(connection, ", \t");
		n = strcspn(connection, ", \t");
		if (n == len && strncasecmp(connection, name, n) == 0)
			return true;
		connection += n;
	}
	return false;
}

bool weft_metadata_answer_header_passes(const char *name, const char *connection)
{
	return is_token(name) && !is_one_of(name, hop_by_hop) && !is_named(name, connection);
}

bool weft_metadata_request_header_passes(const char *name, const char *connection)
{
	return weft_metadata_answer_header_passes(name, connection) &&
	       !is_one_of(name, request_only) && !is_identity(name);
}

bool weft_metadata_header_value_is_sound(const char *value)
{
	for (; *value != '\0'; value++)
		if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
			return false;
	return true;
}

static int read_secret(int fd, const char *path, struct metadata_secret *out, struct err *err)
{
	char text[sizeof(out->text) + 1];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return weft_fail(err, -EINVAL, "shared_secret_file = %s: it is no regular file",
				 path);
	if ((st.st_mode & (S_IROTH | S_IWOTH)) != 0)
		return weft_fail(err, -EPERM,
				 "shared_secret_file = %s: everybody may read or write it; "
				 "chmod o= %s",
				 path, path);
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return weft_fail(err, -errno, "shared_secret_file = %s: %s", path, strerror(errno));
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	if (text[0] == '\0' || strlen(text) >= sizeof(out->text))
		return weft_fail(err, -EINVAL,
				 "shared_secret_file = %s: its first line must have 1 to %zu "
				 "characters",
				 path, sizeof(out->text) - 1);
	out->len = strlen(text);
	memcpy(out->text, text, out->len + 1);
	return 0;
}

int weft_metadata_secret_read(const char *path, struct metadata_secret *out, struct err *err)
{
	int fd, ret;

	*out = (struct metadata_secret) {0};
	if (path[0] == '\0')
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return weft_fail(err, -errno, "shared_secret_file = %s: %s", path, strerror(errno));
	ret = read_secret(fd, path, out, err);
	close(fd);
	return ret;
}

void weft_metadata_sign(const struct metadata_secret *secret, const char *instance_id,
			char out[METADATA_SIGNATURE_LEN + 1])
{
	unsigned char mac[METADATA_SIGNATURE_LEN / 2];

	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret->text, secret->len, instance_id,
			     strlen(instance_id), mac) != 0)
		abort(); // want of memory
	for (size_t i = 0; i < sizeof(mac); i++)
		snprintf(out + 2 * i, 3, "%02x", mac[i]);
}

void weft_metadata_identity(const struct metadata_who *who, const struct metadata_secret *secret,
			    void (*add)(void *arg, const char *name, const char *value), void *arg)
{
	char signature[METADATA_SIGNATURE_LEN + 1];

	add(arg, "X-Forwarded-For", who->address);
	if (secret->len > 0) {
		weft_metadata_sign(secret, who->instance_id, signature);
		add(arg, "X-Instance-ID", who->instance_id);
		add(arg, "X-Tenant-ID", who->project_id);
		add(arg, "X-Instance-ID-Signature", signature);
	} else if (who->router_id[0] != '\0') {
		add(arg, "X-Neutron-Router-ID", who->router_id);
	} else {
		add(arg, "X-Neutron-Network-ID", who->network_id);
	}
}
