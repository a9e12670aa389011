"""Logs in as PostgreSQL 18's clients do by themselves: oauth_login.py LIBPQ CONNINFO CLIENT [SECRET]

The library asks the server where tokens are to be had (OAUTHBEARER, RFC 7628) and has this program get one from the provider that the
server named: with a secret for the client itself, without one for a person, who approves a code on the provider's page (RFC 8628), as
psql does where the library has its own part for that. Prints the answer of a query, or the library's error.
"""
import base64, ctypes, json, sys, time, urllib.error, urllib.parse, urllib.request

library, conninfo, client = sys.argv[1:4]
secret = sys.argv[4] if len(sys.argv) > 4 else None
pq = ctypes.CDLL(library)
BEARER_TOKEN = 1  # PQAUTHDATA_OAUTH_BEARER_TOKEN


class Request(ctypes.Structure):  # PGoauthBearerRequest
    _fields_ = [
        ("openid_configuration", ctypes.c_char_p), ("scope", ctypes.c_char_p),
        ("run", ctypes.c_void_p), ("cleanup", ctypes.c_void_p), ("token", ctypes.c_char_p), ("user", ctypes.c_void_p),
    ]


kept = []


def ask(endpoint, headers={}, **form):
    """Posts a form; the answer, an error too."""
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, urllib.parse.urlencode(form).encode(), headers)) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def for_itself(provider):
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    answer = ask(provider["token_endpoint"], {"Authorization": f"Basic {basic}"}, grant_type="client_credentials")
    return answer["access_token"]


def for_a_person(provider, scope):
    device = ask(provider["device_authorization_endpoint"], client_id=client, scope=scope)
    print("visit", device["verification_uri"], "and enter", device["user_code"], flush=True)
    while True:
        time.sleep(device.get("interval", 5))
        answer = ask(provider["token_endpoint"], client_id=client, device_code=device["device_code"],
                     grant_type="urn:ietf:params:oauth:grant-type:device_code")
        if "error" not in answer:
            return answer["access_token"]
        print(answer["error"], flush=True)
        if answer["error"] != "authorization_pending":
            return None


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def hook(kind, _, data):
    if kind != BEARER_TOKEN:
        return 0
    request = ctypes.cast(data, ctypes.POINTER(Request)).contents
    print("told", request.openid_configuration.decode(), request.scope.decode(), flush=True)
    with urllib.request.urlopen(request.openid_configuration.decode()) as answer:
        provider = json.load(answer)
    token = for_itself(provider) if secret else for_a_person(provider, request.scope.decode())
    if not token:
        return -1
    kept.append(token.encode())
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
