/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames for the firewall's tests, built layer by layer into one buffer:
 * packet_ethernet(), then packet_ipv4() or packet_ipv6(), then what it carries.
 * packet_finish() sets the lengths. Checksums stay 0: the firewall reads none.
 */
#ifndef HOODY_SELFTESTS_FIREWALL_PACKET_H
#define HOODY_SELFTESTS_FIREWALL_PACKET_H

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

struct packet {
	uint8_t		bytes[512];
	unsigned int	length;
	unsigned int	ip;		/* offset of the IP header, 0: none */
};

static inline uint8_t *packet_add(struct packet *packet, unsigned int size)
{
	uint8_t *at = packet->bytes + packet->length;

	packet->length += size;
	return at;
}

static inline void packet_put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void packet_ethernet(struct packet *packet, const uint8_t *destination,
				   const uint8_t *source, unsigned int type)
{
	uint8_t *at;

	memset(packet, 0, sizeof(*packet));
	at = packet_add(packet, 14);
	memcpy(at, destination, 6);
	memcpy(at + 6, source, 6);
	packet_put16(at + 12, type);
}

static inline uint8_t *packet_ipv4(struct packet *packet, const uint8_t *source,
				   const uint8_t *destination, uint8_t protocol)
{
	uint8_t *at = packet_add(packet, 20);

	packet->ip = (unsigned int)(at - packet->bytes);
	at[0] = 0x45;
	at[8] = 64;
	at[9] = protocol;
	memcpy(at + 12, source, 4);
	memcpy(at + 16, destination, 4);
	return at;
}

static inline uint8_t *packet_ipv6(struct packet *packet, const uint8_t *source,
				   const uint8_t *destination, uint8_t next, uint8_t hops)
{
	uint8_t *at = packet_add(packet, 40);

	packet->ip = (unsigned int)(at - packet->bytes);
	at[0] = 0x60;
	at[6] = next;
	at[7] = hops;
	memcpy(at + 8, source, 16);
	memcpy(at + 24, destination, 16);
	return at;
}

static inline uint8_t *packet_tcp(struct packet *packet, unsigned int source,
				  unsigned int destination, uint8_t flags)
{
	uint8_t *at = packet_add(packet, 20);

	packet_put16(at, source);
	packet_put16(at + 2, destination);
	at[12] = 0x50;
	at[13] = flags;
	return at;
}

static inline uint8_t *packet_udp(struct packet *packet, unsigned int source,
				  unsigned int destination)
{
	uint8_t *at = packet_add(packet, 8);

	packet_put16(at, source);
	packet_put16(at + 2, destination);
	packet_put16(at + 4, 8);
	return at;
}

static inline uint8_t *packet_icmp(struct packet *packet, uint8_t type, uint8_t code,
				   unsigned int id)
{
	uint8_t *at = packet_add(packet, 8);

	at[0] = type;
	at[1] = code;
	packet_put16(at + 4, id);
	return at;
}

static inline void packet_finish(struct packet *packet)
{
	uint8_t *ip = packet->bytes + packet->ip;

	if (!packet->ip)
		return;
	if (ip[0] >> 4 == 4)
		packet_put16(ip + 2, packet->length - packet->ip);
	else
		packet_put16(ip + 4, packet->length - packet->ip - 40);
}

#endif /* HOODY_SELFTESTS_FIREWALL_PACKET_H */
