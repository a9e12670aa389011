#!/usr/bin/env python3
"""Somebody between a client of PostgreSQL and its server: takes the client's TLS to itself, with a certificate of its own, and
speaks TLS with the server. Everything else passes unchanged.
usage: between.py LISTEN_PORT TARGET_HOST TARGET_PORT CERTIFICATE_AND_KEY"""
import socket, ssl, struct, sys, threading
lp, th, tp, cert = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
mine = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
mine.load_cert_chain(cert)
theirs = ssl.create_default_context()
theirs.check_hostname = False
theirs.verify_mode = ssl.CERT_NONE
ask = struct.pack('!II', 8, 80877103)
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError: pass
    for s in (a, b):
        try: s.close()
        except OSError: pass
def serve(near):
    try:
        if near.recv(8) != ask: near.close(); return
        near.sendall(b'S')
        near = mine.wrap_socket(near, server_side=True)
        far = socket.create_connection((th, tp))
        far.sendall(ask)
        assert far.recv(1) == b'S'
        far = theirs.wrap_socket(far)
    except (OSError, AssertionError): near.close(); return
    threading.Thread(target=pump, args=(near, far), daemon=True).start()
    pump(far, near)
listener = socket.create_server(('127.0.0.1', lp))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
