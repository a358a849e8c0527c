/* SPDX-License-Identifier: MIT */
/*
 * inherit.c - virtual sockets that come with a program's start or in a message, and those that
 * other processes are going to have.
 */
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../share.h"
#include "file.h"
#include "limit.h"
#include "ncclient.h"
#include "ncd/descriptor_name.h"
#include "real.h"

#define INHERIT_MAX 1024 /* descriptors that are looked at when a program starts */
#define ARGS_MAX    4096 /* of execl and its relatives; longer lists are E2BIG */

/* The file whose open file has @cookie: it has come a second time. */
static struct file *file_known(uint64_t cookie)
{
	for (int fd = 0; cookie && fd <= file_top(); fd++) {
		struct file *f = file_virtual(fd);

		if (f && f->cookie == cookie)
			return f;
	}
	return NULL;
}

void file_adopt(int fd)
{
	uint64_t cookie;
	struct file *f;
	int nc, domain;

	if (fd < 0 || fd >= FILE_TABLE || file_of(fd))
		return;
	cookie = descriptor_cookie(fd);
	f = file_known(cookie);
	if (f) {
		file_share(f, fd);
		return;
	}
	nc = cookie ? share_adopt(fd, &domain) : -ENOENT;
	if (nc < 0)
		return;
	f = file_open(fd, FILE_VIRTUAL, domain, nc);
	if (f)
		f->cookie = cookie;
	else
		(void)nc_close(nc); /* as if there had been no number for it */
}

void file_send(struct file *f, int fd)
{
	if (file_nc(f) < 0)
		return;
	share_one(file_nc(f));
	f->cookie = descriptor_cookie(fd);
}

__attribute__((constructor)) static void inherit(void)
{
	struct pollfd fds[INHERIT_MAX];

	for (int i = 0; i < INHERIT_MAX; i++)
		fds[i] = (struct pollfd){ .fd = i };
	if (real()->poll(fds, INHERIT_MAX, 0) < 0)
		return;
	for (int i = 0; i < INHERIT_MAX; i++)
		if (!(fds[i].revents & POLLNVAL)) {
			file_adopt(i);
			stdio_follow(i);
		}
}

/* ---- programs that are started ---- */

/*
 * A child of vfork or posix_spawn runs in our memory with descriptors of its own, where nothing can
 * be asked any more: so whatever it might take along is shared before.
 */
static void share_here(void)
{
	int err = errno;

	if (file_own_process())
		share_all();
	errno = err;
}

static void exec_begin(bool here, char *const envp[])
{
	share_here();
	away_before_exec(envp);
	limit_before_exec(here);
}

static int exec_failed(void)
{
	limit_behind_exec();
	return -1;
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	exec_begin(true, envp);
	(void)real()->execve(path, argv, envp); /* back: it has failed */
	return exec_failed();
}

EXPORT int execv(const char *path, char *const argv[])
{
	exec_begin(true, environ);
	(void)real()->execv(path, argv); /* back: it has failed */
	return exec_failed();
}

EXPORT int execvp(const char *file, char *const argv[])
{
	exec_begin(true, environ);
	(void)real()->execvp(file, argv); /* back: it has failed */
	return exec_failed();
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	exec_begin(true, envp);
	(void)real()->execvpe(file, argv, envp); /* back: it has failed */
	return exec_failed();
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	exec_begin(true, envp);
	(void)real()->fexecve(fd, argv, envp); /* back: it has failed */
	return exec_failed();
}

EXPORT int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	exec_begin(true, envp);
	(void)real()->execveat(fd, path, argv, envp, flags); /* back: it has failed */
	return exec_failed();
}

/* The list that begins with @first into @argv, whose end is behind. False: too long. */
static bool args_fill(char *argv[], const char *first, va_list ap)
{
	int nr = 0;

	for (const char *arg = first; arg; arg = va_arg(ap, const char *)) {
		if (nr == ARGS_MAX)
			return false;
		memcpy(&argv[nr++], &arg, sizeof(arg)); /* a const that execv only lacks */
	}
	argv[nr] = NULL;
	return true;
}

EXPORT int execl(const char *path, const char *arg, ...)
{
	char *argv[ARGS_MAX + 1];
	va_list ap;
	bool fits;

	va_start(ap, arg);
	fits = args_fill(argv, arg, ap);
	va_end(ap);
	errno = E2BIG;
	return fits ? execv(path, argv) : -1;
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	char *argv[ARGS_MAX + 1];
	va_list ap;
	bool fits;

	va_start(ap, arg);
	fits = args_fill(argv, arg, ap);
	va_end(ap);
	errno = E2BIG;
	return fits ? execvp(file, argv) : -1;
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	char *argv[ARGS_MAX + 1];
	char *const *envp;
	va_list ap;
	bool fits;

	va_start(ap, arg);
	fits = args_fill(argv, arg, ap);
	envp = fits ? va_arg(ap, char *const *) : NULL;
	va_end(ap);
	errno = E2BIG;
	return fits ? execve(path, argv, envp) : -1;
}

EXPORT int posix_spawn(pid_t *__restrict pid, const char *__restrict path,
		       const posix_spawn_file_actions_t *__restrict actions,
		       const posix_spawnattr_t *__restrict attr, char *const argv[__restrict_arr],
		       char *const envp[__restrict_arr])
{
	int ret;

	exec_begin(false, envp);
	ret = real()->posix_spawn(pid, path, actions, attr, argv, envp);
	limit_behind_exec();
	return ret;
}

EXPORT int posix_spawnp(pid_t *__restrict pid, const char *__restrict file,
			const posix_spawn_file_actions_t *__restrict actions,
			const posix_spawnattr_t *__restrict attr, char *const argv[__restrict_arr],
			char *const envp[__restrict_arr])
{
	int ret;

	exec_begin(false, envp);
	ret = real()->posix_spawnp(pid, file, actions, attr, argv, envp);
	limit_behind_exec();
	return ret;
}

/* It takes as long as its command, and other threads need our descriptors: the limit stays. */
EXPORT int system(const char *command)
{
	share_here();
	away_before_exec(environ);
	return real()->system(command);
}

EXPORT FILE *popen(const char *command, const char *mode)
{
	FILE *ret;

	exec_begin(false, environ);
	ret = real()->popen(command, mode);
	limit_behind_exec();
	return ret;
}

/*
 * vfork returns twice to its caller's frame, so nothing of ours may be on the stack by then: the
 * call of it is a jump. Elsewhere a child of vfork gets what was shared before for other reasons.
 */
#ifdef __x86_64__
void *inherit_vfork(void);
__attribute__((used)) void *inherit_vfork(void)
{
	void *found;

	share_here();
	memcpy(&found, &real()->vfork, sizeof(found)); /* as real.c */
	return found;
}

__asm__(".text\n"
	".globl vfork\n"
	".type vfork, @function\n"
	"vfork:\n"
	"	subq $8, %rsp\n"
	"	call inherit_vfork\n"
	"	addq $8, %rsp\n"
	"	jmp *%rax\n"
	".size vfork, .-vfork\n");
#endif
