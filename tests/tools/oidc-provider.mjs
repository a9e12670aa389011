// A certified OpenID Connect provider for the tests: node oidc-provider.mjs MODULES PORT KEY
// Clients: `ci` and `ops` (client credentials), `bot` (token exchange), `lockgate` (code with PKCE, device code, refresh), `psql`
// (device code, public). Anybody may log in by any
// name; `groups` follow from it. Access tokens are JWTs for `lockgate`, or for whatever `resource` names. With TLS_CERTIFICATE and TLS_KEY it is
// https://localhost:PORT, else http://127.0.0.1:PORT.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, port, key] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = { ...privateKey.export({ format: 'jwk' }), kid: key, use: 'sig', alg: 'RS256' };

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const groups = { ci: ['engineers'], bot: ['engineers'], ops: ['platform'], alice: ['engineers', 'staff'], frank: ['fraud'] };
const disabled = new Set();
const seconds = (client) => (client.clientId === 'brief' ? 4 : 600);
// With SECRET_POST clients show their secret in the form, and not in a header.
const method = process.env.SECRET_POST ? 'client_secret_post' : 'client_secret_basic';
const secret = { client_secret: 'only-for-tests', token_endpoint_auth_method: method };
const service = (client_id) => ({ client_id, ...secret, redirect_uris: [], response_types: [], grant_types: ['client_credentials'] });

const { TLS_CERTIFICATE, TLS_KEY } = process.env;
const provider = new Provider(TLS_KEY ? `https://localhost:${port}` : `http://127.0.0.1:${port}`, {
  jwks: { keys: [jwk] },
  clientAuthMethods: [method, 'none'],
  clients: [
    {
      client_id: 'psql', token_endpoint_auth_method: 'none', application_type: 'native', redirect_uris: [], response_types: [],
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    },
    service('ci'), service('ops'), service('brief'), { ...service('bot'), grant_types: [EXCHANGE] },
    {
      client_id: 'lockgate', ...secret, response_types: ['code'],
      // A gateway's own page, or an address where nobody is.
      redirect_uris: ['http://127.0.0.1:1/callback', ...(process.env.REDIRECT ? [process.env.REDIRECT] : [])],
      application_type: process.env.REDIRECT ? 'web' : 'native',
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    },
  ],
  findAccount: (_, id) => disabled.has(id) ? undefined : ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, groups: groups[id] ?? [] }),
  }),
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  scopes: ['openid', 'offline_access', 'email', 'groups'],
  // With INTROVERT the person is described in userinfo only, as the standard has it.
  conformIdTokenClaims: process.env.INTROVERT === '1',
  extraTokenClaims: (_, token) => (token.gty === 'token-exchange'
    ? { groups: groups[token.accountId] ?? [], act: { sub: token.clientId, groups: groups[token.clientId] } }
    : { groups: groups[token.accountId ?? token.clientId ?? ''] ?? groups.ci }),
  ttl: { ClientCredentials: (_, __, client) => seconds(client), IdToken: 600, AccessToken: 600 },
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  cookies: { keys: ['only-for-tests'] },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_, client) => (client.clientId === 'lockgate' ? undefined : 'https://lockgate.example.com'),
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource, client) => ({
        scope: 'openid', accessTokenFormat: 'jwt', accessTokenTTL: seconds(client), jwt: { sign: { alg: 'RS256' } },
        audience: resource === 'https://lockgate.example.com' ? 'lockgate' : resource,
      }),
    },
  },
});

// RFC 8693: a client gets a token of whom its subject token is about, with itself as the actor.
provider.registerGrantType(EXCHANGE, async (ctx) => {
  const { client, params } = ctx.oidc;
  const { sub: accountId } = JSON.parse(Buffer.from(params.subject_token.split('.')[1], 'base64url'));
  const token = new provider.AccessToken({ client, accountId, gty: 'token-exchange', scope: 'openid' });
  token.resourceServer = new provider.ResourceServer('https://lockgate.example.com', {
    scope: 'openid', accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'RS256' } }, audience: 'lockgate',
  });
  ctx.body = {
    access_token: await token.save(), issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer', expires_in: 600,
  };
}, ['subject_token', 'subject_token_type']);

// How often it was asked for its keys.
let asked = 0;
provider.use(async (ctx, next) => {
  if (ctx.path === '/asked') { ctx.body = String(asked); return; }
  if (ctx.path === '/jwks') asked += 1;
  // What the company's administrators do: /set?user=alice&groups=a,b and /set?user=alice&disabled=1 (0 for the way back).
  if (ctx.path === '/set') {
    const { user, groups: names, disabled: off } = ctx.query;
    if (names !== undefined) groups[user] = names.split(',');
    if (off === '1') disabled.add(user);
    if (off === '0') disabled.delete(user);
    ctx.body = 'done';
    return;
  }
  // The library takes a secret wherever it stands.
  if (process.env.SECRET_POST && /^basic /i.test(ctx.headers.authorization ?? '')) {
    ctx.status = 401;
    ctx.body = { error: 'invalid_client', error_description: 'the secret belongs in the form' };
    return;
  }
  await next();
});
const secure = TLS_KEY && createServer({ cert: readFileSync(TLS_CERTIFICATE), key: readFileSync(TLS_KEY) }, provider.callback());
(secure || provider).listen(Number(port), '127.0.0.1', () => console.log('listening'));
