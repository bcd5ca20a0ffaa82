#include "look.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

static int a, b, c, pair[2];

static struct sockaddr_in local(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}
static int bound(int type, int port) {
  struct sockaddr_in address = local(port);
  const int one = 1, fd = check(socket(AF_INET, type, 0), "socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  check(bind(fd, (void*)&address, sizeof address), "bind");
  return fd;
}
static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, level, name, &value, &size) == 0 ? value : -errno;
}
static void put(int fd, int level, int name, int value) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0)
    SAY("option %d of level %d: %s", name, level, strerror(errno));
}

// --- queued datagrams and who sent them
static void set_udp(void) {
  a = bound(SOCK_DGRAM, 7201);
  for (int port = 7202; port <= 7203; ++port) {
    b = bound(SOCK_DGRAM, port);
    struct sockaddr_in to = local(7201);
    for (int i = 0; i < 2; ++i) check(sendto(b, &port, sizeof port, 0, (void*)&to, sizeof to), "sendto");
  }
}
static void tell_udp(void) {
  for (int i = 0; i < 4; ++i) {
    struct sockaddr_in from = {0};
    socklen_t size = sizeof from;
    int said = 0;
    const ssize_t n = recvfrom(a, &said, sizeof said, MSG_DONTWAIT, (void*)&from, &size);
    SAY("%zd bytes of %d from %s:%d", n, said, inet_ntoa(from.sin_addr), ntohs(from.sin_port));
  }
}

// --- the same by unix sockets, with a descriptor and credentials
static struct sockaddr_un named(const char* name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, name, sizeof address.sun_path - 1);
  return address;
}
static void set_unix(void) {
  const int one = 1;
  struct sockaddr_un receiver = named("/tmp/look.receiver"), sender = named("/tmp/look.sender");
  a = check(socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
  b = check(socket(AF_UNIX, SOCK_DGRAM, 0), "socket");
  unlink(receiver.sun_path), unlink(sender.sun_path);
  check(bind(a, (void*)&receiver, sizeof receiver), "bind");
  check(bind(b, (void*)&sender, sizeof sender), "bind");
  setsockopt(a, SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
  check(sendto(b, "hello", 5, 0, (void*)&receiver, sizeof receiver), "sendto");
}
static void tell_unix(void) {
  struct sockaddr_un from = {0};
  char text[16] = {0};
  union {
    struct cmsghdr header;
    char space[256];
  } control;
  struct iovec data = {text, sizeof text - 1};
  struct msghdr message = {&from, sizeof from, &data, 1, &control, sizeof control, 0};
  const ssize_t n = recvmsg(a, &message, MSG_DONTWAIT);
  SAY("%zd %s from %s", n, text, from.sun_path);
  for (struct cmsghdr* c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c))
    if (c->cmsg_type == SCM_CREDENTIALS) {
      const struct ucred* who = (const void*)CMSG_DATA(c);
      SAY("credentials %d %d", who->pid == getpid(), who->uid == getuid());
    }
}

// --- a descriptor in flight
static void set_passed(void) {
  check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  int inner[2];
  check(pipe(inner), "pipe");
  check(write(inner[1], "inside", 6), "write");
  char byte = 'x';
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.header), &inner[0], sizeof(int));
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  check(sendmsg(pair[0], &message, 0), "sendmsg");
  close(inner[0]);
}
static void tell_passed(void) {
  char byte, text[16] = {0};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec data = {&byte, 1};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  const ssize_t n = recvmsg(pair[1], &message, MSG_DONTWAIT);
  struct cmsghdr* got = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (got != NULL) {
    int fd;
    memcpy(&fd, CMSG_DATA(got), sizeof fd);
    const ssize_t size = read(fd, text, sizeof text - 1);
    SAY("got a descriptor, %zd: %s", size, text);
  } else {
    SAY("got %zd and no descriptor", n);
  }
}

// --- options of TCP sockets
static const struct {
  const char* name;
  int level, option, value;
} tcp_options[] = {{"keepalive", SOL_SOCKET, SO_KEEPALIVE, 1},
                   {"reuseport", SOL_SOCKET, SO_REUSEPORT, 1},
                   {"oobinline", SOL_SOCKET, SO_OOBINLINE, 1},
                   {"priority", SOL_SOCKET, SO_PRIORITY, 3},
                   {"rcvlowat", SOL_SOCKET, SO_RCVLOWAT, 5},
                   {"sndbuf", SOL_SOCKET, SO_SNDBUF, 60000},
                   {"rcvbuf", SOL_SOCKET, SO_RCVBUF, 70000},
                   {"timestamp", SOL_SOCKET, SO_TIMESTAMP, 1},
                   {"incoming cpu", SOL_SOCKET, SO_ZEROCOPY, 1},
                   {"nodelay", IPPROTO_TCP, TCP_NODELAY, 1},
                   {"keepidle", IPPROTO_TCP, TCP_KEEPIDLE, 77},
                   {"keepintvl", IPPROTO_TCP, TCP_KEEPINTVL, 13},
                   {"keepcnt", IPPROTO_TCP, TCP_KEEPCNT, 4},
                   {"user timeout", IPPROTO_TCP, TCP_USER_TIMEOUT, 12345},
                   {"quickack", IPPROTO_TCP, TCP_SYNCNT, 3},
                   {"linger2", IPPROTO_TCP, TCP_LINGER2, 20},
                   {"defer accept", IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384},
                   {"tos", IPPROTO_IP, IP_TOS, 0x10},
                   {"ttl", IPPROTO_IP, IP_TTL, 33}};
static void set_tcp(void) {
  a = bound(SOCK_STREAM, 7210);
  put(a, SOL_SOCKET, SO_REUSEPORT, 1);
  put(a, IPPROTO_TCP, TCP_DEFER_ACCEPT, 3);
  check(listen(a, 17), "listen");
  struct sockaddr_in to = local(7210);
  b = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
  for (size_t i = 0; i < sizeof tcp_options / sizeof *tcp_options; ++i)
    put(b, tcp_options[i].level, tcp_options[i].option, tcp_options[i].value);
  const struct linger linger = {1, 9};
  setsockopt(b, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  const struct timeval timeout = {7, 250000};
  setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  check(connect(b, (void*)&to, sizeof to), "connect");
  check(write(b, "queued", 6), "write");
  c = check(accept(a, NULL, NULL), "accept");
  check(send(c, "!", 1, MSG_OOB), "oob");
}
static void tell_tcp(void) {
  for (size_t i = 0; i < sizeof tcp_options / sizeof *tcp_options; ++i)
    SAY("%s %d", tcp_options[i].name, option(b, tcp_options[i].level, tcp_options[i].option));
  struct linger linger = {0};
  struct timeval timeout = {0};
  socklen_t size = sizeof linger;
  getsockopt(b, SOL_SOCKET, SO_LINGER, &linger, &size);
  size = sizeof timeout;
  getsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &timeout, &size);
  SAY("linger %d %d timeout %ld %ld", linger.l_onoff, linger.l_linger, (long)timeout.tv_sec, (long)timeout.tv_usec);
  SAY("listener reuseport %d defer %d", option(a, SOL_SOCKET, SO_REUSEPORT), option(a, IPPROTO_TCP, TCP_DEFER_ACCEPT));
  char text[16] = {0};
  SAY("read %zd %s", recv(c, text, sizeof text - 1, MSG_DONTWAIT), text);
  SAY("inline %zd", recv(b, text, sizeof text, MSG_DONTWAIT));
}

// --- half closed, and closed by the other
static void set_closed(void) {
  struct sockaddr_in to = local(7220);
  a = bound(SOCK_STREAM, 7220);
  check(listen(a, 5), "listen");
  b = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
  check(connect(b, (void*)&to, sizeof to), "connect");
  c = check(accept(a, NULL, NULL), "accept");
  check(write(b, "last", 4), "write");
  shutdown(b, SHUT_WR);
  check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  check(write(pair[0], "end", 3), "write");
  shutdown(pair[0], SHUT_WR);
}
static void tell_closed(void) {
  char text[16] = {0};
  SAY("tcp %zd %zd", recv(c, text, 16, MSG_DONTWAIT), recv(c, text, 16, MSG_DONTWAIT));
  SAY("back %zd", write(c, "answer", 6));
  const struct timeval timeout = {10, 0};
  setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  const ssize_t answer = recv(b, text, 16, 0);
  SAY("answer %zd %s", answer, answer < 0 ? strerror(errno) : "");
  SAY("unix %zd %zd", recv(pair[1], text, 16, MSG_DONTWAIT), recv(pair[1], text, 16, MSG_DONTWAIT));
}

// --- multicast
static void set_multicast(void) {
  const struct ip_mreqn group = {.imr_multiaddr.s_addr = inet_addr("239.1.2.3"),
                                 .imr_address.s_addr = htonl(INADDR_LOOPBACK)};
  a = bound(SOCK_DGRAM, 7230);
  check(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group), "membership");
  put(a, IPPROTO_IP, IP_MULTICAST_TTL, 5);
  put(a, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
  put(a, SOL_SOCKET, SO_BROADCAST, 1);
}
static void tell_multicast(void) {
  SAY("ttl %d loop %d broadcast %d", option(a, IPPROTO_IP, IP_MULTICAST_TTL),
      option(a, IPPROTO_IP, IP_MULTICAST_LOOP), option(a, SOL_SOCKET, SO_BROADCAST));
  FILE* groups = fopen("/proc/net/igmp", "r");
  char line[256];
  int member = 0;
  while (fgets(line, sizeof line, groups) != NULL) member |= strstr(line, "030201EF") != NULL;
  SAY("member %d", member);
}

// --- IPv6 on the pod's loopback, and raw kinds
static void set_ipv6(void) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(7240), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  const int one = 1;
  a = check(socket(AF_INET6, SOCK_STREAM, 0), "socket");
  setsockopt(a, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  check(bind(a, (void*)&address, sizeof address), "bind");
  check(listen(a, 5), "listen");
  b = check(socket(AF_INET6, SOCK_STREAM, 0), "socket");
  check(connect(b, (void*)&address, sizeof address), "connect");
  c = check(accept(a, NULL, NULL), "accept");
  check(write(b, "six", 3), "write");
}
static void tell_ipv6(void) {
  char text[8] = {0};
  SAY("v6only %d read %zd %s", option(a, IPPROTO_IPV6, IPV6_V6ONLY), recv(c, text, 7, MSG_DONTWAIT), text);
}

const struct kind sockets_kinds[] = {{"udp", "UDP datagrams that wait, and who sent them", set_udp, tell_udp},
                                     {"unix", "unix datagrams that wait with credentials", set_unix, tell_unix},
                                     {"passed", "a descriptor on its way through a unix socket", set_passed, tell_passed},
                                     {"tcp", "options of TCP sockets, urgent data", set_tcp, tell_tcp},
                                     {"closed", "connections that one side has closed", set_closed, tell_closed},
                                     {"multicast", "multicast groups", set_multicast, tell_multicast},
                                     {"ipv6", "IPv6 within the pod", set_ipv6, tell_ipv6},
                                     {0}};
