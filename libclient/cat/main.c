/* SPDX-License-Identifier: MIT */
/*
 * ncd-cat - netcat over virtual sockets: stdin to the stream, the stream to stdout, both at once.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ncclient.h"

#include "cat.h"

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("ncd-cat: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

static void usage(FILE *to)
{
	fputs("usage: ncd-cat [-46qv] [-s ADDRESS] [-w SECONDS] HOST PORT\n"
	      "       ncd-cat -l [-46qv] [-s ADDRESS] [-w SECONDS] PORT\n"
	      "       ncd-cat -V, --version | -h, --help\n",
	      to);
}

/* getaddrinfo(3) takes 99999 for 34463. Names are left to it. */
static bool port_right(const char *port)
{
	size_t digits = strspn(port, "0123456789");

	if (port[digits] || (digits < 10 && strtol(port, NULL, 10) <= UINT16_MAX))
		return true;
	say("%s: must be a port, at most 65535", port);
	return false;
}

static bool parse(int argc, char **argv, struct options *opt)
{
	static const struct option longs[] = {
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char *end;
	long wait_s;
	int c;

	while ((c = getopt_long(argc, argv, "46lqs:vw:NhV", longs, NULL)) != -1) {
		switch (c) {
		case '4':
			opt->family = AF_INET;
			break;
		case '6':
			opt->family = AF_INET6;
			break;
		case 'l':
			opt->listen = true;
			break;
		case 'q':
			opt->quiet = true;
			break;
		case 's':
			opt->source = optarg;
			break;
		case 'v':
			opt->verbose = true;
			break;
		case 'w':
			wait_s = strtol(optarg, &end, 10);
			if (*end || end == optarg || wait_s < 1 || wait_s > 1000000) {
				say("-w %s: must be a number of seconds, 1 or more", optarg);
				return false;
			}
			opt->wait_s = (int)wait_s;
			break;
		case 'N':
			break; /* always so; other netcats need it */
		case 'h':
			usage(stdout);
			exit(EXIT_DONE);
		case 'V':
			printf("ncd-cat %s\n", nc_version());
			exit(EXIT_DONE);
		default:
			return false;
		}
	}
	if (argc - optind != (opt->listen ? 1 : 2))
		return false;
	opt->host = opt->listen ? NULL : argv[optind];
	opt->port = argv[argc - 1];
	return port_right(opt->port);
}

/*
 * Where one of 0, 1 and 2 is closed, what is opened next would be there, and be read from or
 * written to. Something takes its place of which that fails.
 */
static void standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_PATH);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct options opt = { .family = AF_UNSPEC };
	int s;

	standard_descriptors();
	if (!parse(argc, argv, &opt)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	(void)signal(SIGPIPE, SIG_IGN); /* a closed stdout is an error with a message */
	s = opt.listen ? cat_accept(&opt) : cat_connect(&opt);
	return s < 0 ? EXIT_FAILED : cat_move(&opt, s);
}
