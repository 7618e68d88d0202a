/* Network: the loopback interface, and devices of the host that move in (rtnetlink(7)). */
#include "deputy.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>

#define AF_NETLINK_ 16
#define SOCK_RAW_ 3
#define IFF_UP_ 1
#define NEW_IFINDEX 60 /* IFLA_NEW_IFINDEX, Linux 5.13 */
#define DEVICES_LIMIT 64
#define NAME_LIMIT 16
/* Of an address the flags that are a choice: the others say what became of it. */
#define CHOSEN_FLAGS (IFA_F_NODAD | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN)

struct interface_request {
	char name[NAME_LIMIT];
	short flags;
	char rest[22];
};

int op_LOOPBACK_UP(struct run *run, struct cursor *fields)
{
	(void)run, (void)fields;
	struct interface_request request = {.name = "lo", .flags = IFF_UP_ | 1 << 6 /* IFF_RUNNING */};
	int socket = (int)sys(socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */ | O_CLOEXEC, 0);
	if (socket < 0)
		return socket;
	int error = (int)sys(ioctl, socket, 0x8914 /* SIOCSIFFLAGS */, &request);
	close_fd(socket);
	return error;
}

static int open_route_socket(void)
{
	return (int)sys(socket, AF_NETLINK_, SOCK_RAW_ | O_CLOEXEC, NETLINK_ROUTE);
}

/*
 * A socket stays one of the namespace that it was made in: whoever gets it can set up this one from outside. That of
 * netfilter goes along where the kernel has it.
 */
int op_NETLINK_SOCKETS(struct run *run, struct cursor *fields)
{
	(void)fields;
	int sockets[2] = {open_route_socket()};
	if (sockets[0] < 0)
		return sockets[0];
	sockets[1] = (int)sys(socket, AF_NETLINK_, SOCK_RAW_ | O_CLOEXEC, NETLINK_NETFILTER);
	int error = offer(run, REQUEST_NETWORK, sockets, sockets[1] < 0 ? 1 : 2);
	close_fd(sockets[0]);
	if (sockets[1] >= 0)
		close_fd(sockets[1]);
	return error;
}

/* A request under construction; everything in it is aligned to 4 bytes. */
struct packet {
	struct nlmsghdr head;
	u8 body[496];
};

static struct packet begin(u16 type, u16 flags, const void *head, size_t size)
{
	struct packet packet = {.head = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags}};
	packet.head.nlmsg_len = (u32)(sizeof packet.head + NLMSG_ALIGN(size));
	memcpy(packet.body, head, size);
	return packet;
}

static void add(struct packet *packet, u16 type, const void *data, size_t size)
{
	struct rtattr attribute = {.rta_type = type, .rta_len = (u16)RTA_LENGTH(size)};
	size_t at = packet->head.nlmsg_len;
	if (at + RTA_SPACE(size) > sizeof *packet)
		return;
	memcpy((u8 *)packet + at, &attribute, sizeof attribute);
	memcpy((u8 *)packet + at + RTA_LENGTH(0), data, size);
	packet->head.nlmsg_len = (u32)(at + RTA_SPACE(size));
}

typedef int reader(const struct nlmsghdr *answer, void *context);

/* Sends, and hands every answer to `read` until the last. The buffer takes the largest that the kernel sends unasked. */
static int exchange(int socket, const struct packet *packet, reader *read, void *context)
{
	static u8 buffer[32768] __attribute__((aligned(8)));
	long size = sys(sendto, socket, packet, packet->head.nlmsg_len, 0, NULL, 0);
	int dump = (packet->head.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP, error = 0;
	while (size >= 0) {
		size = sys(recvfrom, socket, buffer, sizeof buffer, 0, NULL, NULL);
		if (size == -EINTR)
			size = 0;
		const struct nlmsghdr *answer = (const struct nlmsghdr *)buffer;
		for (long left = size; left >= (long)sizeof *answer;) {
			if (answer->nlmsg_type == NLMSG_DONE)
				return error;
			if (answer->nlmsg_type == NLMSG_ERROR)
				return *(const int *)NLMSG_DATA(answer);
			if (read && !error)
				error = read(answer, context);
			if (!dump)
				return error;
			left -= (long)NLMSG_ALIGN(answer->nlmsg_len);
			answer = (const struct nlmsghdr *)((const u8 *)answer + NLMSG_ALIGN(answer->nlmsg_len));
		}
	}
	return (int)size;
}

static int read_link(const struct nlmsghdr *answer, void *context)
{
	*(struct ifinfomsg *)context = *(const struct ifinfomsg *)NLMSG_DATA(answer);
	return 0;
}

/* Index and flags of the device with a name or, without one, an index. */
static int find_link(int socket, const char *name, int index, struct ifinfomsg *link)
{
	struct ifinfomsg head = {.ifi_index = name ? 0 : index};
	struct packet packet = begin(RTM_GETLINK, 0, &head, sizeof head);
	if (name)
		add(&packet, IFLA_IFNAME, name, length(name) + 1);
	return exchange(socket, &packet, read_link, link);
}

static int set_up(int socket, int index, int up)
{
	struct ifinfomsg head = {.ifi_index = index, .ifi_flags = up ? IFF_UP_ : 0, .ifi_change = IFF_UP_};
	struct packet packet = begin(RTM_NEWLINK, NLM_F_ACK, &head, sizeof head);
	return exchange(socket, &packet, NULL, NULL);
}

/* Into another network namespace, under another name and with a free index, in one step. */
static int move_link(int socket, int index, int namespace, const char *name, int free_index)
{
	struct ifinfomsg head = {.ifi_index = index};
	struct packet packet = begin(RTM_NEWLINK, NLM_F_ACK, &head, sizeof head);
	add(&packet, IFLA_IFNAME, name, length(name) + 1);
	add(&packet, IFLA_NET_NS_FD, &namespace, sizeof namespace);
	if (free_index != index)
		add(&packet, NEW_IFINDEX, &free_index, sizeof free_index);
	return exchange(socket, &packet, NULL, NULL);
}

/* Its own number if that is free there: a name given as "eth%d" does not tell afterwards which device it is. */
static int free_index(int socket, int index)
{
	struct ifinfomsg link;
	while (find_link(socket, NULL, index, &link) == 0)
		index++;
	return index;
}

struct address {
	struct address *next;
	struct packet packet; /* that adds it, but for the device */
};

struct addresses {
	struct address *first, **last;
	int index;
};

static int read_address(const struct nlmsghdr *answer, void *context)
{
	struct addresses *all = context;
	struct ifaddrmsg head = *(const struct ifaddrmsg *)NLMSG_DATA(answer);
	if (head.ifa_index != (u32)all->index || !(head.ifa_flags & IFA_F_PERMANENT))
		return 0;
	struct address *address = arena(sizeof *address);
	if (!address)
		return -ENOMEM;
	head.ifa_flags &= CHOSEN_FLAGS & 0xff;
	address->next = NULL;
	address->packet = begin(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, &head, sizeof head);
	long left = (long)IFA_PAYLOAD(answer);
	for (struct rtattr *at = IFA_RTA(NLMSG_DATA(answer)); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		u32 flags = *(const u32 *)RTA_DATA(at) & CHOSEN_FLAGS;
		if (at->rta_type == IFA_FLAGS)
			add(&address->packet, IFA_FLAGS, &flags, sizeof flags);
		else if (at->rta_type == IFA_ADDRESS || at->rta_type == IFA_LOCAL || at->rta_type == IFA_BROADCAST)
			add(&address->packet, at->rta_type, RTA_DATA(at), RTA_PAYLOAD(at));
	}
	*all->last = address;
	all->last = &address->next;
	return 0;
}

/* The permanent addresses of a device: those that nobody leased or made up. */
static int list_addresses(int socket, int index, struct addresses *all)
{
	struct ifaddrmsg head = {.ifa_family = 0};
	struct packet packet = begin(RTM_GETADDR, NLM_F_DUMP, &head, sizeof head);
	*all = (struct addresses){.index = index};
	all->last = &all->first;
	return exchange(socket, &packet, read_address, all);
}

/* Addresses of global scope, or with `all` those of the host and of a site as well. A link's own come by themselves. */
static int add_addresses(int socket, int index, const struct addresses *addresses, int all)
{
	int error = 0;
	for (struct address *address = addresses->first; address && !error; address = address->next) {
		struct ifaddrmsg *head = (struct ifaddrmsg *)address->packet.body;
		head->ifa_index = (u32)index;
		if (head->ifa_scope == RT_SCOPE_UNIVERSE || (all && head->ifa_scope != RT_SCOPE_LINK))
			error = exchange(socket, &address->packet, NULL, NULL);
	}
	return error;
}

/* What has been moved, newest last. */
static struct moved {
	const char *name;
	int index_there, was_up;
	struct addresses addresses;
} moved[DEVICES_LIMIT];
static int moved_count;
static struct place {
	int namespace, socket;
} host = {-1, -1}, container = {-1, -1};

/* A socket stays one of the namespace that it was made in, whoever uses it. */
static int open_places(const struct errand *errand)
{
	if (container.socket >= 0)
		return 0;
	host.namespace = (int)sys(openat, AT_FDCWD_, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC, 0);
	host.socket = host.namespace < 0 ? host.namespace : open_route_socket();
	container.namespace = open_namespace(errand->pid, "ns/net");
	if (host.socket < 0 || container.namespace < 0)
		return host.socket < 0 ? host.socket : container.namespace;
	int error = (int)sys(setns, container.namespace, CLONE_NEWNET);
	if (error)
		return error;
	container.socket = open_route_socket();
	error = (int)sys(setns, host.namespace, CLONE_NEWNET);
	return container.socket < 0 ? container.socket : error;
}

/* A device that is the host's again: up if it was, and with its addresses. */
static void restore(const struct moved *entry, int index)
{
	if (entry->was_up)
		set_up(host.socket, index, 1);
	add_addresses(host.socket, index, &entry->addresses, 1);
}

static int move_in(struct run *run, const char *device, const char *name)
{
	struct ifinfomsg link;
	struct moved *entry = moved + moved_count;
	int error = find_link(host.socket, device, 0, &link);
	if (error)
		return fail(run, error, DETAIL_FIND_DEVICE);
	/* before it goes down: that alone takes its IPv6 addresses away */
	error = list_addresses(host.socket, link.ifi_index, &entry->addresses);
	if (!error)
		error = set_up(host.socket, link.ifi_index, 0);
	if (error)
		return error;
	entry->name = device;
	entry->was_up = (link.ifi_flags & IFF_UP_) != 0;
	entry->index_there = free_index(container.socket, link.ifi_index);
	error = move_link(host.socket, link.ifi_index, container.namespace, name, entry->index_there);
	/* the kernel moves first and renames then: a name that is taken there fails with the device moved */
	moved_count += !error || find_link(container.socket, NULL, entry->index_there, &link) == 0;
	if (error) {
		if (entry == moved + moved_count)
			restore(entry, link.ifi_index);
		return error;
	}
	error = add_addresses(container.socket, entry->index_there, &entry->addresses, 0);
	if (error)
		return fail(run, error, DETAIL_ADD_ADDRESS);
	error = set_up(container.socket, entry->index_there, 1);
	return error ? fail(run, error, DETAIL_DEVICE_UP) : 0;
}

/* The deputy's half of NET_DEVICE (config-linux.md#network-devices). */
int give_network_device(struct run *run, const struct errand *errand, struct cursor *cursor)
{
	const char *device = take_text(cursor), *name = take_text(cursor);
	if (moved_count == DEVICES_LIMIT)
		return -EMFILE;
	int error = open_places(errand);
	return error ? error : move_in(run, device, *name ? name : device);
}

/* The creation failed: the devices go back under their old names, with their addresses, and up if they were. */
void take_network_devices_back(void)
{
	while (moved_count--) {
		const struct moved *entry = moved + moved_count;
		int index = free_index(host.socket, entry->index_there);
		if (!move_link(container.socket, entry->index_there, host.namespace, entry->name, index))
			restore(entry, index);
	}
}

int op_NET_DEVICE(struct run *run, struct cursor *fields)
{
	(void)fields;
	return ask_deputy(run, -1);
}
