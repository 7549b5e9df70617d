// After a full life, what must be secret is looked for everywhere it could have gone: logs, metrics, traces, Redis, PostgreSQL.
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';
import { restClient } from '../fixtures/rest.ts';

const PATIENCE_MS = 120_000;
const credential = 'a-header-value-nobody-may-read';
const payloadSecret = 'a-payload-nobody-may-log';

let database: TestDatabase;
let redis: TestRedis;
let receiver: Receiver;
let collector: { url: string; text(): string; close(): void };
let service: ServiceProcess;
beforeAll(async () => {
  [database, redis, receiver, collector] = await Promise.all([
    createTestDatabase(),
    createTestRedis(),
    startReceiver(),
    collect(),
  ]);
}, PATIENCE_MS);
afterAll(async () => {
  await service.kill();
  await receiver.close();
  await redis.close();
  await database.drop();
  collector.close();
});

test(
  'signing secrets, header values and tokens are nowhere but with their owners',
  async () => {
    const env = {
      ...envOf(database.config, redis.config),
      ENVIRONMENT: 'test',
      LOG_LEVEL: 'trace',
      WEBHOOK_RETRY_DELAY: '0.05',
      WEBHOOK_ALLOW_HTTP: 'true',
      WEBHOOK_ALLOWED_CIDRS: '127.0.0.0/8',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: '50',
      NOTIFICATION_SERVICE_URL: receiver.url('/notices'),
    };
    // Every command that reaches this Redis, with its values, whether or not they stay.
    const commands: string[] = [];
    const client = new Redis({ host: redis.config.host, port: redis.config.port });
    const monitor = await client.monitor();
    // The server ends with the test.
    for (const connection of [client, monitor]) connection.on('error', () => {});
    monitor.on('monitor', (_time: string, parts: string[]) => commands.push(parts.join(' ')));
    service = await startProcess(env);
    const [alice, publisher] = [await service.token('alice'), await service.token('orders', 'service')];
    const developer = restClient(service.http, alice);
    const secrets = [credential, alice, publisher, `Bearer ${alice}`];

    const webhook = {
      events: ['order.created'],
      custom_headers: { 'X-Api-Key': credential },
      retry_policy: { max_retries: 1 },
    };
    const good = (await developer('POST', '/api/v1/webhooks', { ...webhook, url: receiver.url('/ok') })).body;
    const bad = (await developer('POST', '/api/v1/webhooks', { ...webhook, url: receiver.url('/500') })).body;
    const gone = (await developer('POST', '/api/v1/webhooks', { ...webhook, url: receiver.url('/410') })).body;
    const rotated = (await developer('POST', `/api/v1/webhooks/${good.id}/rotate-secret`)).body;
    secrets.push(good.secret, bad.secret, gone.secret, rotated.secret);
    // What is masked or hidden after its one showing.
    const shown = await developer('GET', `/api/v1/webhooks/${good.id}`);
    expect(JSON.stringify(shown.body)).not.toContain(credential);
    expect(shown.body).toMatchObject({ secret_hint: rotated.secret.slice(-4), custom_headers: { 'X-Api-Key': '********' } });
    expect(shown.body.secret).toBeUndefined();

    const event = { event_type: 'order.created', data: { note: payloadSecret }, audience: { user_ids: ['alice'] } };
    // In one commit: the webhook that is gone is disabled by the first response, and gets nothing afterwards.
    const published = await restClient(service.http, publisher)('POST', '/api/v1/events/batch', {
      events: Array.from({ length: 5 }, () => event),
    });
    expect(published.body).toMatchObject({ accepted: 5 });
    await developer('POST', `/api/v1/webhooks/${good.id}/test`, {});
    // Mistakes, whose errors are logged: a token that is none, a body with the secret in it, a header that may not be set.
    await restClient(service.http, `${alice.slice(0, -4)}AAAA`)('GET', '/api/v1/webhooks');
    await developer('PUT', `/api/v1/webhooks/${good.id}`, { custom_headers: { Host: credential } });
    await developer('PUT', `/api/v1/webhooks/${good.id}`, { description: rotated.secret, secret: rotated.secret });
    await fetch(`${service.http}/api/v1/webhooks?access_token=${alice}`);
    secrets.push(`${alice.slice(0, -4)}AAAA`);
    await eventually(
      async () => {
        const { rows } = await database.pool.query(
          `select count(*) filter (where status in ('delivered', 'failed', 'cancelled')) as ended, count(*) as made from deliveries`,
        );
        return Number(rows[0].made) >= 16 && rows[0].ended === rows[0].made;
      },
      { what: 'every delivery to come to its end', deadlineMs: PATIENCE_MS },
    );
    await eventually(() => collector.text().includes('attempt'), { what: 'spans', deadlineMs: PATIENCE_MS });
    const places: Record<string, string> = {
      '/metrics': await (await fetch(service.metrics)).text(),
      'keys and values of Redis': await contents(redis),
      'commands to Redis': commands.join('\n'),
      PostgreSQL: await everyRow(database),
      'exported traces and metrics': collector.text(),
    };
    await service.stop();
    places['the log'] = service.lines.join('\n');
    monitor.disconnect();
    client.disconnect();

    // The places are not empty: what may be there is.
    expect(places['the log']).toContain(good.id);
    expect(places['the log']).toContain('attempt');
    expect(places['commands to Redis']).toMatch(/evalsha|zadd/i);
    expect(places['PostgreSQL']).toContain(good.id);
    expect(places['/metrics']).toContain('deliveries_delivered_total');
    // A secret is also its bytes: the part behind the prefix, alone.
    for (const secret of secrets.flatMap((text) => [text, text.replace('whsec_', '')])) {
      for (const [place, text] of Object.entries(places)) expect(text.includes(secret) ? `${secret} in ${place}` : '').toBe('');
    }
    expect(places['the log']).not.toContain(payloadSecret);
    expect(places['commands to Redis']).not.toContain(payloadSecret);
    console.log(
      `${secrets.length} secrets looked for in`,
      Object.fromEntries(Object.entries(places).map(([place, text]) => [place, `${text.length} characters`])),
    );
  },
  PATIENCE_MS,
);

test(
  'what a library prints is a line of the log, without its secrets',
  async () => {
    const printing = `setInterval(() => console.error('a library failed', new Error('sent Bearer ' + process.env.PRINTED)), 50).unref()`;
    const printer = await startProcess({
      ...envOf(database.config, redis.config),
      ENVIRONMENT: 'test',
      NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(printing)}`,
    });
    try {
      const printed = () => printer.lines.filter((line) => line.startsWith('{') && line.includes('a library failed'));
      await eventually(() => printed().length > 0);
      // Until the service is built, it does not matter what is printed.
      const last = JSON.parse(printed().at(-1) ?? '') as Record<string, unknown>;
      expect(last).toMatchObject({ level: 'warn', message: 'a library failed', printed: true });
      expect(JSON.stringify(last)).not.toContain(credential);
      const from = printer.lines.length;
      await eventually(() => printer.lines.length > from + 5);
      expect(printer.lines.slice(from).filter((line) => !line.startsWith('{'))).toEqual([]);
    } finally {
      await printer.kill();
    }
  },
  PATIENCE_MS,
);

async function contents({ config }: TestRedis): Promise<string> {
  const client = new Redis({ host: config.host, port: config.port });
  const found: string[] = [];
  for (const key of await client.keys('*')) {
    found.push(key);
    switch (await client.type(key)) {
      case 'zset':
        found.push(JSON.stringify(await client.zrange(key, '0', '-1')));
        break;
      case 'set':
        found.push(...(await client.smembers(key)));
        break;
      case 'list':
        found.push(...(await client.lrange(key, 0, -1)));
        break;
      case 'hash':
        found.push(JSON.stringify(await client.hgetall(key)));
        break;
      default:
        found.push((await client.get(key)) ?? '');
    }
  }
  client.disconnect();
  return found.join('\n');
}

async function everyRow({ pool }: TestDatabase): Promise<string> {
  const tables = await pool.query<{ name: string }>(
    `select quote_ident(table_schema) || '.' || quote_ident(table_name) as name from information_schema.tables
     where table_schema not in ('pg_catalog', 'information_schema')`,
  );
  const rows: string[] = [];
  for (const { name } of tables.rows) {
    const found = await pool.query<{ text: string }>(`select t::text as text from ${name} t`);
    rows.push(...found.rows.map(({ text }) => text));
  }
  return rows.join('\n');
}

/** An OTLP collector that keeps what it is sent, traces and metrics alike, as the text it is. */
async function collect() {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      bodies.push(JSON.stringify(request.headers), Buffer.concat(chunks).toString());
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    text: () => bodies.join('\n'),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
