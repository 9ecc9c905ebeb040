// A certified OpenID provider for the tests, over TLS on loopback. Who is logged in there, what it says of people and
// which key it signs with is set over /test. Everyone consents.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import { Provider } from 'oidc-provider';

const [certificate, key, redirectUri] = process.argv.slice(2);
const people = new Map();
let current = null;
let provider;
let issuer;

const client = (id, method) => ({
  client_id: id,
  client_secret: `${id} secret: with + and %`,
  redirect_uris: [redirectUri],
  response_types: ['code'],
  grant_types: ['authorization_code'],
  token_endpoint_auth_method: method,
});

function start() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  provider = new Provider(issuer, {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' }] },
    clients: [
      client('keystead', 'client_secret_basic'),
      client('keystead-post', 'client_secret_post'),
      client('another', 'client_secret_basic'),
    ],
    scopes: ['openid', 'email', 'profile', 'groups'],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['given_name', 'family_name'],
      groups: ['groups'],
    },
    cookies: { keys: [randomUUID()] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub, ...people.get(sub) }) }),
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope('openid email profile groups');
      await grant.save();
      return grant;
    },
    ttl: { AccessToken: 60, AuthorizationCode: 60, IdToken: 60, Interaction: 60, Session: 60, Grant: 60 },
  });
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, async (request, response) => {
  if (request.url === '/test/rotate') {
    start();
    response.end();
  } else if (request.url === '/test/person') {
    const { sub, ...claims } = await body(request);
    people.set(sub, claims);
    current = sub;
    response.end();
  } else if (request.url.startsWith('/interaction/')) {
    await provider.interactionFinished(request, response, { login: { accountId: current } });
  } else {
    provider.callback()(request, response);
  }
});

server.listen(0, '127.0.0.1', () => {
  issuer = `https://127.0.0.1:${server.address().port}`;
  start();
  console.log(issuer);
});
