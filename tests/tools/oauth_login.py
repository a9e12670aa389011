"""Logs in as PostgreSQL 18's clients do by themselves: oauth_login.py LIBPQ CONNINFO CLIENT SECRET

The library asks the server where tokens are to be had (OAUTHBEARER, RFC 7628) and has this program get one: from the provider that the
server named, for the client itself. Prints the answer of a query, or the library's error.
"""
import base64, ctypes, json, sys, urllib.request

library, conninfo, client, secret = sys.argv[1:]
pq = ctypes.CDLL(library)
BEARER_TOKEN = 1  # PQAUTHDATA_OAUTH_BEARER_TOKEN


class Request(ctypes.Structure):  # PGoauthBearerRequest
    _fields_ = [
        ("openid_configuration", ctypes.c_char_p), ("scope", ctypes.c_char_p),
        ("run", ctypes.c_void_p), ("cleanup", ctypes.c_void_p), ("token", ctypes.c_char_p), ("user", ctypes.c_void_p),
    ]


kept = []


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def hook(kind, _, data):
    if kind != BEARER_TOKEN:
        return 0
    request = ctypes.cast(data, ctypes.POINTER(Request)).contents
    print("told", request.openid_configuration.decode(), request.scope.decode(), flush=True)
    with urllib.request.urlopen(request.openid_configuration.decode()) as answer:
        endpoint = json.load(answer)["token_endpoint"]
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    ask = urllib.request.Request(endpoint, b"grant_type=client_credentials", {"Authorization": f"Basic {basic}"})
    with urllib.request.urlopen(ask) as answer:
        kept.append(json.load(answer)["access_token"].encode())
    request.token = kept[-1]
    return 1


pq.PQsetAuthDataHook(hook)
for function in (pq.PQconnectdb, pq.PQexec):
    function.restype = ctypes.c_void_p
for function in (pq.PQerrorMessage, pq.PQgetvalue):
    function.restype = ctypes.c_char_p
connection = ctypes.c_void_p(pq.PQconnectdb(conninfo.encode()))
if pq.PQstatus(connection) != 0:
    sys.exit(pq.PQerrorMessage(connection).decode())
result = ctypes.c_void_p(pq.PQexec(connection, b"SELECT 'in'"))
print(pq.PQgetvalue(result, 0, 0).decode())
