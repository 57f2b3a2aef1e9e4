#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Root inside a container, with raw sockets: sends one kind of frame that the
firewall must not let through (or, for controls, one that it must).

raw.py INTERFACE KIND OWN_MAC PEER_MAC OWN4 OTHER4 OWN6 OTHER6
"""
import ipaddress
import socket
import struct
import sys

iface, kind = sys.argv[1:3]
own_mac, peer_mac = (bytes.fromhex(m.replace(":", "")) for m in sys.argv[3:5])
own4, other4 = (ipaddress.ip_address(a).packed for a in sys.argv[5:7])
own6, other6 = (ipaddress.ip_address(a).packed for a in sys.argv[7:9])
other_mac = bytes.fromhex("02deadbeef99")
broadcast = b"\xff" * 6


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ether(payload, kind=0x0800, source=own_mac, to=peer_mac):
    return to + source + struct.pack("!H", kind) + payload


def ip4(protocol, payload, source=own4, to=other4, options=b"", fragment=0, ident=1):
    length = 20 + len(options)
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | length // 4, 0, length + len(payload), ident,
                       fragment, 64, protocol, 0, source, to) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(following, payload, source=own6, to=other6, hops=64):
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), following, hops, source, to) + payload


def udp(sport=4000, dport=9, data=b"x" * 24):
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def tcp(dport=80, flags=2, sport=4001):
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 0x50, flags, 1024, 0, 0)


def icmp6(kind, payload, source=own6, to=other6, hops=255):
    pseudo = source + to + struct.pack("!II", 4 + len(payload), 58)
    body = struct.pack("!BBH", kind, 0, 0) + payload
    body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
    return ip6(58, body, source, to, hops)


def arp(operation, sender_mac, sender, target):
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, sender_mac, sender,
                       b"\0" * 6, target)


all_nodes = ipaddress.ip_address("ff02::1").packed
frames = {
    "control_udp": [ether(ip4(17, udp()))],
    "source_mac": [ether(ip4(17, udp()), source=other_mac)],
    "source_ip": [ether(ip4(17, udp(), source=bytes([10, 66, 0, 1])))],
    "source_ip6": [ether(ip6(17, udp(), source=other6), 0x86DD)],
    "arp_claims_other": [ether(arp(2, own_mac, other4, own4), 0x0806, to=broadcast)],
    "arp_other_mac": [ether(arp(2, other_mac, own4, other4), 0x0806, to=broadcast)],
    "nd_claims_other": [ether(icmp6(136, b"\x20\0\0\0" + other6 + b"\2\1" + own_mac,
                                    to=all_nodes), 0x86DD)],
    "router_advertisement": [ether(icmp6(134, struct.pack("!BBHII", 64, 0, 1800, 0, 0),
                                         to=all_nodes), 0x86DD)],
    "dhcp_server": [ether(ip4(17, udp(67, 68, b"\2" + b"\0" * 240), to=b"\xff" * 4),
                          to=broadcast)],
    "vlan": [ether(struct.pack("!HH", 5, 0x0800) + ip4(17, udp()), 0x8100)],
    "qinq": [ether(struct.pack("!HHHH", 5, 0x8100, 6, 0x0800) + ip4(17, udp()), 0x88A8)],
    "ethertype": [ether(b"\0" * 46, 0x88CC)],
    "ip_options": [ether(ip4(17, udp(), options=b"\x83\x07\x04" + other4 + b"\0"))],
    "ip_in_ip": [ether(ip4(4, ip4(17, udp())))],
    "ip6_in_ip4": [ether(ip4(41, ip6(17, udp())))],
    "gre": [ether(ip4(47, b"\0\0\x08\0" + ip4(17, udp())))],
    "multicast": [ether(ip4(17, udp(5353, 5353), to=bytes([224, 0, 0, 251])),
                        to=bytes.fromhex("01005e0000fb"))],
    "broadcast": [ether(ip4(17, udp()), to=broadcast)],
    "extension_header": [ether(ip6(60, b"\x11\0\1\4\0\0\0\0" + udp()), 0x86DD)],
    "routing_header": [ether(ip6(43, b"\x11\2\0\1\0\0\0\0" + other6 + udp()), 0x86DD)],
    "fragment_behind": [ether(ip4(17, b"y" * 32, fragment=2, ident=77))],
    "fragment_tiny": [ether(ip4(6, tcp()[:8], fragment=0x2000, ident=78)),
                      ether(ip4(6, tcp()[8:], fragment=1, ident=78))],
    "stray_ack": [ether(ip4(6, tcp(flags=16)))],
    "icmp_redirect": [ether(ip4(1, b"\5\1\0\0" + own4 + ip4(17, udp())[:28]))],
}

sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind((iface, 0))
for frame in frames[kind]:
    sock.send(frame)
