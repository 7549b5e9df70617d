// Runs inside a network namespace in which every address there is belongs to this process: whatever is dialled is seen. Prints what
// was seen as JSON. Started by egress-namespace.test.ts.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { dial } from '../../src/outbound/dial.ts';
import { headerLines } from '../../src/outbound/header-lines.ts';
import { HttpClient } from '../../src/outbound/http-client.ts';
import { NameResolver } from '../../src/outbound/name-resolver.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { nameServer, type Answer } from '../outbound/name-server.ts';
import { begun } from '../delivery/begun.ts';
import { RacingPlaces } from '../../src/outbound/race.ts';

const PUBLIC = new Set(['8.8.8.8', '1.1.1.1', '2606:4700:4700::1111']);
const METADATA = 'http://169.254.169.254/latest/meta-data/';
const SECOND_HOP = 'http://1.1.1.1/second-hop';

export interface Report {
  /** Forbidden addresses that were reached. */
  readonly canary: string[];
  /** Public addresses that were reached, with the path. */
  readonly public: string[];
  readonly outcomes: Record<string, number>;
}

const vectors: { forbiddenUrls: string[]; metadata: string[] } = JSON.parse(
  readFileSync(new URL('../vectors/egress.json', import.meta.url), 'utf8'),
);
const literals = vectors.forbiddenUrls
  .map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ''))
  .filter((host) => /^[\d.]+$|:/.test(host));
const strict = new EgressPolicy({ environment: 'production', egress: { allowedCidrs: [], allowHttp: true } });
const lax = new EgressPolicy({ environment: 'production', egress: { allowedCidrs: ['0.0.0.0/0', '::/0'], allowHttp: true } });
const secureContext = createSecureContext();
let canary: string[] = [];
let reached: string[] = [];

const server = createServer((socket) => {
  const address = (socket.localAddress ?? '').replace(/^::ffff:/, '');
  socket.on('error', () => {});
  if (!PUBLIC.has(address)) canary.push(address);
  socket.once('data', (data) => {
    const path = String(data).split(' ', 2)[1] ?? '';
    if (PUBLIC.has(address)) reached.push(`${address}${path}`);
    const location = path === '/to-metadata' ? METADATA : path === '/to-public' ? SECOND_HOP : null;
    socket.end(
      `HTTP/1.1 ${location === null ? '200 OK' : `307 Elsewhere\r\nlocation: ${location}`}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
    );
  });
});
server.listen(80, '::');
await once(server, 'listening');

const addressOf = new Map<string, string>();
const names = await nameServer((name, before): Answer => {
  if (name.startsWith('rebinding')) return { addresses: [before % 2 === 0 ? '8.8.8.8' : '169.254.169.254'] };
  if (name.startsWith('mixed-family')) return { addresses: ['8.8.8.8', 'fd00:ec2::254'] };
  if (name.startsWith('mixed')) return { addresses: ['8.8.8.8', '10.0.0.1', '2606:4700:4700::1111'] };
  if (name.startsWith('alias')) return { alias: 'metadata.example', addresses: ['169.254.169.254'] };
  if (name.startsWith('good')) return { addresses: ['8.8.8.8'] };
  return { addresses: [addressOf.get(name) ?? '10.0.0.1'] };
}, '127.0.0.1');

const report: Record<string, Report> = {};

// Without a guard all of it is reachable, or this would prove nothing.
await section('naive', async () => {
  for (const host of [
    '169.254.169.254',
    '10.0.0.1',
    '127.0.0.1',
    '168.63.129.16',
    'fd00:ec2::254',
    '::ffff:169.254.169.254',
    '8.8.8.8',
  ]) {
    const socket: Socket = connect({ host, port: 80 });
    await once(socket, 'connect');
    socket.write('GET /naive HTTP/1.1\r\n\r\n');
    await once(socket.resume(), 'close');
  }
  return [];
});
await section('URLs', () =>
  Promise.all(vectors.forbiddenUrls.map((url) => send(strict, url.replace('https:', 'http:').replace(/:\d+\//, '/')))),
);
await section('dials', () => Promise.all(literals.map((host) => dialled(strict, host))));
await section('names', () => Promise.all(literals.map((address, i) => sendToName(strict, `name${i}`, address))));
await section('metadata URLs, everything allowed', () =>
  Promise.all(vectors.metadata.map((address) => send(lax, `http://${address.includes(':') ? `[${address}]` : address}/`))),
);
await section('metadata dials, everything allowed', () =>
  Promise.all(vectors.metadata.map((address) => dialled(lax, address))),
);
await section('metadata names, everything allowed', () =>
  Promise.all(vectors.metadata.map((address, i) => sendToName(lax, `metadata${i}`, address))),
);
await section('tricks', () =>
  Promise.all(['mixed', 'mixed-family', 'alias'].map((name) => send(strict, `http://${name}.example/`))),
);
await section('rebinding', async () => {
  const errors: string[] = [];
  for (let i = 0; i < 20; i += 1) errors.push(await send(strict, 'http://rebinding.example/hook'));
  return errors;
});
await section('redirects', () =>
  Promise.all(['/to-metadata', '/to-public'].map((path) => send(strict, `http://good.example${path}`))),
);
await section('good', () =>
  Promise.all(
    ['http://good.example/hook', 'http://8.8.8.8/hook', 'http://[2606:4700:4700::1111]/hook'].map((url) => send(strict, url)),
  ),
);

console.log(JSON.stringify(report));
process.exit(0);

async function section(name: string, run: () => Promise<string[]>): Promise<void> {
  canary = [];
  reached = [];
  const outcomes: Record<string, number> = {};
  for (const outcome of await run()) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  report[name] = { canary, public: reached.toSorted(), outcomes };
}

// A client of its own each time: nothing resolved or connected before may help.
async function send(policy: EgressPolicy, url: string): Promise<string> {
  const client = new HttpClient({ policy, resolver: new NameResolver({ servers: [names.server], hostsPath: '/dev/null' }) });
  const outcome = await begun(client.post({ url, headers: headerLines({}), body: Buffer.from('{}'), timeoutMs: 4000 }));
  client.close();
  return outcome.error ?? 'delivered';
}

function sendToName(policy: EgressPolicy, label: string, address: string): Promise<string> {
  // Without dotted quads, which the name server does not know how to encode.
  addressOf.set(`${label}.example`, address.includes(':') ? new URL(`http://[${address}]/`).hostname.slice(1, -1) : address);
  return send(policy, `http://${label}.example/`);
}

function dialled(policy: EgressPolicy, host: string): Promise<string> {
  return new Promise((resolve) => {
    const tools = {
      policy,
      resolver: new NameResolver(),
      secureContext,
      racingPlaces: new RacingPlaces(1),
      onBytes: () => true,
    };
    dial({ secure: false, host, port: 80 }, tools, (failure, socket) => {
      socket?.destroy();
      resolve(typeof failure === 'object' && failure !== null ? failure.shortage : (failure ?? 'connected'));
    });
  });
}
