/* SPDX-License-Identifier: MIT */
/*
 * stream.c - the stream of ncd-cat: connected to a host, or accepted; and what to tell people where
 * that fails.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "cat.h"
#include "ncclient.h"

struct name {
	char text[NI_MAXHOST + NI_MAXSERV + 4];
};

static struct name name_of(const struct sockaddr *addr, socklen_t len)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	struct name n = { "?" };

	if (getnameinfo(addr, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		(void)snprintf(n.text, sizeof(n.text),
			       addr->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
			       port); /* fits */
	return n;
}

static const char *remedy(int error)
{
	switch (error) {
	case -ENETUNREACH:
		return ": no [peer] in ncd.conf has this address";
	case -EHOSTUNREACH:
	case -ETIMEDOUT:
		return ": is ncd running there, and does its ncd.conf name this host?";
	case -ECONNREFUSED:
		return ": nobody listens there through ncd";
	case -EADDRNOTAVAIL:
		return ": not an address of this host in ncd.conf";
	default:
		return "";
	}
}

static int cat_socket(const struct options *opt, int family)
{
	struct timeval limit = { .tv_sec = opt->wait_s };
	char why[256];
	int s = nc_socket(family, SOCK_STREAM, 0);

	if (s < 0) {
		(void)nc_attach_why(why, sizeof(why)); /* cut is as well */
		say("%s", *why ? why : strerror(-s));
		return s;
	}
	if (opt->wait_s > 0) {
		(void)nc_setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit,
				    sizeof(limit)); /* as asked */
		(void)nc_setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit,
				    sizeof(limit)); /* as asked */
	}
	return s;
}

static struct addrinfo *resolve(const struct options *opt, int family, const char *host,
				const char *port)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	int ret;

	if (opt->listen || host == opt->source)
		hints.ai_flags = AI_PASSIVE;
	ret = getaddrinfo(host, port, &hints, &list);
	if (ret == 0)
		return list;
	say("%s%s%s: %s", host ? host : "port", host && port ? " port " : " ", port ? port : "",
	    gai_strerror(ret));
	return NULL;
}

/* Binds @s to -s ADDRESS and @port. 0, or an error that has been told. */
static int cat_bind(const struct options *opt, int s, int family, const char *port)
{
	struct addrinfo *list = resolve(opt, family, opt->source, port);
	int ret;

	if (!list)
		return -EINVAL;
	ret = nc_bind(s, list->ai_addr, list->ai_addrlen);
	if (ret < 0)
		say("%s: %s%s", name_of(list->ai_addr, list->ai_addrlen).text, strerror(-ret),
		    ret == -EACCES ? ": ports below 1024 are root's" : remedy(ret));
	freeaddrinfo(list);
	return ret;
}

static int connect_one(const struct options *opt, const struct addrinfo *ai)
{
	int s = cat_socket(opt, ai->ai_family);
	int ret = 0;

	if (s < 0)
		return s;
	if (opt->source)
		ret = cat_bind(opt, s, ai->ai_family, NULL);
	if (ret == 0) {
		ret = nc_connect(s, ai->ai_addr, ai->ai_addrlen);
		if (ret == -EINPROGRESS)
			ret = -ETIMEDOUT; /* -w */
		if (ret < 0)
			say("%s: %s%s", name_of(ai->ai_addr, ai->ai_addrlen).text, strerror(-ret),
			    remedy(ret));
	}
	if (ret == 0) {
		if (opt->verbose)
			say("connected to %s", name_of(ai->ai_addr, ai->ai_addrlen).text);
		return s;
	}
	(void)nc_close(s); /* nothing was sent */
	return ret;
}

int cat_connect(const struct options *opt)
{
	struct addrinfo *list = resolve(opt, opt->family, opt->host, opt->port);
	int s = -EINVAL;

	for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		s = connect_one(opt, ai);
		if (s >= 0)
			break;
	}
	if (list)
		freeaddrinfo(list);
	return s;
}

int cat_accept(const struct options *opt)
{
	int family = opt->family == AF_UNSPEC ? AF_INET : opt->family;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	int l, s;

	if (opt->family == AF_UNSPEC && opt->source && strchr(opt->source, ':'))
		family = AF_INET6;
	l = cat_socket(opt, family);
	if (l < 0)
		return l;
	s = cat_bind(opt, l, family, opt->port);
	if (s == 0) {
		s = nc_listen(l, 1);
		if (s < 0)
			say("port %s: %s", opt->port, strerror(-s));
	}
	if (s == 0) {
		if (opt->verbose)
			say("listening on port %s", opt->port);
		s = nc_accept4(l, (struct sockaddr *)&from, &len, 0);
		if (s < 0)
			say("accept: %s", s == -EAGAIN ? "nobody came in time" : strerror(-s));
		else if (opt->verbose)
			say("connection from %s", name_of((struct sockaddr *)&from, len).text);
	}
	(void)nc_close(l); /* one stream is enough */
	return s;
}
