#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A ProxyCommand that is a load balancer: from_address.py PORT ADDRESS announces the address to the port."""
import os
import selectors
import socket
import sys

port, address = int(sys.argv[1]), sys.argv[2]
s = socket.create_connection(("127.0.0.1", port), timeout=60)
family = "TCP6" if ":" in address else "TCP4"
here = "2001:db8::1" if ":" in address else "198.51.100.1"
s.sendall(f"PROXY {family} {address} {here} 40000 22\r\n".encode())
ways = {0: lambda data: s.sendall(data), s.fileno(): lambda data: os.write(1, data)}
selector = selectors.DefaultSelector()
for fd in ways:
    selector.register(fd, selectors.EVENT_READ)
while True:
    for ready, _ in selector.select():
        data = os.read(ready.fd, 65536)
        if not data:
            sys.exit()
        ways[ready.fd](data)
