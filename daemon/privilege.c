/* SPDX-License-Identifier: MIT */
/*
 * privilege.c - gives up root.
 */
#include "privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Keeps CAP_SYS_NICE (priority of worker threads) and nothing else. */
static int capabilities_keep(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = 1u << CAP_SYS_NICE,
						    .permitted = 1u << CAP_SYS_NICE } };

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int privilege_ptrace(bool on)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	data[0].effective &= ~(1u << CAP_SYS_PTRACE);
	if (on)
		data[0].effective |= data[0].permitted & 1u << CAP_SYS_PTRACE;
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* The directory of @path, which this process has made. */
static void directory_give(const char *path, uid_t uid, gid_t gid)
{
	char directory[108];
	char *slash;

	(void)snprintf(directory, sizeof(directory), "%s", path);
	slash = strrchr(directory, '/');
	if (slash == NULL)
		return;
	*slash = '\0';
	/* If this fails the counter page cannot be made, which says why. */
	if (lchown(directory, uid, gid) < 0)
		return;
}

static int become(const struct passwd *pw, gid_t gid)
{
	if (pw && initgroups(pw->pw_name, gid) < 0)
		return -errno;
	if (pw == NULL && setgroups(0, NULL) < 0)
		return -errno;
	if (setresgid(gid, gid, gid) < 0)
		return -errno;
	if (pw == NULL || pw->pw_uid == 0)
		return 0;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return -errno;
	return capabilities_keep();
}

int privilege_drop(const struct config *c, const char *made_for, char error[CONFIG_ERROR_BYTES])
{
	const struct passwd *pw = c->user[0] ? getpwnam(c->user) : NULL;
	const struct group *gr = c->group[0] ? getgrnam(c->group) : NULL;
	gid_t gid = gr ? gr->gr_gid : pw ? pw->pw_gid : getegid();
	uid_t uid = pw ? pw->pw_uid : geteuid();
	int r;

	if (uid == geteuid() && gid == getegid())
		return 0;
	if (geteuid() != 0) {
		(void)config_key_fail(
			c, "daemon", c->user[0] ? "user" : "group", error,
			"%s: only root can become it; start as root, or remove the key",
			c->user[0] ? c->user : c->group);
		return -EPERM;
	}
	if (made_for)
		directory_give(made_for, uid, gid);
	r = become(pw, gid);
	if (r < 0)
		(void)config_key_fail(c, "daemon", c->user[0] ? "user" : "group", error,
				      "%s: cannot become it: %s; grant CAP_SETUID, CAP_SETGID, or "
				      "remove the key",
				      c->user[0] ? c->user : c->group, strerror(-r));
	return r;
}
